"""Field types that every schema uses."""

from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints


def _no_control_characters(text: str) -> str:
    if any((ord(c) < 32 and c not in "\n\t") or 0xD800 <= ord(c) <= 0xDFFF or ord(c) == 127 for c in text):
        raise ValueError("must not contain control characters")
    return text


def clean_text(maximum: int, *, minimum: int = 1) -> Any:
    """A text type without control characters (PostgreSQL refuses NUL), trimmed, of `minimum` to `maximum` characters."""
    limits = StringConstraints(strip_whitespace=True, min_length=minimum, max_length=maximum)
    return Annotated[str, limits, AfterValidator(_no_control_characters)]
