"""HTTP in and out of invitations and of the tokens that prove a right to rate."""
