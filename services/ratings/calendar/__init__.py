"""Working days and the deadlines of the rating loop."""
