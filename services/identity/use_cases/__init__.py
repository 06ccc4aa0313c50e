"""What identity can do: keys, sign-in and sessions, accounts of persons, organisations, staff and systems."""
