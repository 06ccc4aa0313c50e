"""Tables of licences and their rules, one idea a file."""
