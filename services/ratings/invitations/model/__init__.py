"""What an invitation is, and the tokens, keys and codes that prove it."""
