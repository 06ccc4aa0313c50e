"""Every SELECT of tickets and appeals."""
