"""Tables of licenses and their rules, one idea a file."""
