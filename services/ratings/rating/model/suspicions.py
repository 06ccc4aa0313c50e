"""Reasons for which a rating is looked at by a person."""

BAD_TEXT = "bad_text"
"""The suspicion under which a rating of grade 3 is followed as a bad one."""
