"""The five ways to prove a right to rate, each a module with one `prove()`."""
