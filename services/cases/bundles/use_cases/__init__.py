"""Applying for bundles, and how children follow one another."""
