"""Reasons for which a person looks at a rating (norms §1.6)."""

from enum import StrEnum


class Suspicion(StrEnum):
    """Why somebody should look at a rating. It is stored and counted all the same."""

    TERMINAL_BURST = "terminal_burst"
    ADDRESS_BURST = "address_burst"
    WINDOW_BURST = "window_burst"
    SECONDS_AFTER_CLOSE = "seconds_after_close"
    SAME_TEXT = "same_text"
    SAME_DEVICE = "same_device"
    BAD_TEXT = "bad_text"
    """Complaints in the text of a middling grade: it is handled as a bad rating."""
