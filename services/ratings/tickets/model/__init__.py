"""Tables and rules of tickets."""
