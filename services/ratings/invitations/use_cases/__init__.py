"""Making invitations, tokens and codes."""
