"""The ways to prove a right to rate."""
