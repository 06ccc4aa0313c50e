"""Tables of exchange and their rules."""
