"""What cases can do."""
