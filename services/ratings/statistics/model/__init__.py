"""Tables and rules of statistics."""
