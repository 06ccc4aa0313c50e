"""Commands and answers of tickets and appeals."""
