"""What background processes and clients have in common."""
