"""Field types that every schema uses."""

import re
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from shared.errors import InvalidValueError

CONTROL = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f\\ud800-\\udfff]")


def _no_control_characters(text: str) -> str:
    if CONTROL.search(text):
        raise InvalidValueError("must not contain control characters")
    return text


CLEAN = AfterValidator(_no_control_characters)
"""Refuses control characters (PostgreSQL refuses NUL)."""
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300), CLEAN]
"""A line of text, trimmed, 1 to 300 characters."""
Prose = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000), CLEAN
]
"""Text of up to 4,000 characters."""
Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=5, max_length=500), CLEAN
]
"""Why something was done: 5 to 500 characters."""
