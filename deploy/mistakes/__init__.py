"""Mistakes planted into copies of real files, to see which are found."""
