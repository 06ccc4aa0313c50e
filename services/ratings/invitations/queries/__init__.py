"""Every SELECT of invitations, tokens and their uses."""
