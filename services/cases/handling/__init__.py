"""Handling a case: the acts of its life, and the lights over it."""
