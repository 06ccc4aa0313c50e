"""Keys, tokens, encryption, access checks."""
