"""Cases pushed by a bureau's own system."""
