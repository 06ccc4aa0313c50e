"""Counters of ratings and the figures made of them."""
