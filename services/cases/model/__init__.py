"""Tables of cases and their rules, one idea a file."""
