"""Who may rate what: invitations and the credentials that prove a right to rate."""
