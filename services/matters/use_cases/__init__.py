"""What matters can do."""
