"""Whose matters a caller may touch."""

from shared.security.tokens import Caller

Place = tuple[str, str] | None
"""Area and department whose matters the caller may touch; None for all."""


def place_of(caller: Caller) -> Place:
    """The caller's own area and department; administrators may touch all."""
    if "administrator" in caller.roles:
        return None
    return caller.area or "", caller.department or ""
