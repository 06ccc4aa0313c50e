"""Applying: matters that take applications, uploads, materials, numbers."""
