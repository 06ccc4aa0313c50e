"""HTTP in and out of tickets and appeals."""
