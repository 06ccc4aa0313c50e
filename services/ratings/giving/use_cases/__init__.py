"""Giving a rating, adding words to it, and taking ratings over from private networks."""
