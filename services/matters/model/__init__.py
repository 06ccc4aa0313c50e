"""Tables of matters and their rules, one idea a file."""
