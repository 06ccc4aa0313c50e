"""Tables and rules of rating."""
