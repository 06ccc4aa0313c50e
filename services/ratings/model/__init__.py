"""Tables of ratings and their rules."""
