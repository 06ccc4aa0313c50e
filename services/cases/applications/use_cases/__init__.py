"""Applying for matters."""
