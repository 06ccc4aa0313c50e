"""What people and time do to cases."""
