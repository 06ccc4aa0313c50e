"""Publishing ratings and what was done about them."""
