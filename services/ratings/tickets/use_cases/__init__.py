"""What is done about bad ratings."""
