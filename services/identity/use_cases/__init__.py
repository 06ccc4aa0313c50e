"""What identity can do.

Keys, sign-in and sessions, accounts of persons, organisations, staff and systems.
"""
