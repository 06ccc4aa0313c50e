"""Who may keep what of the catalogue, and the parameters that its operations share."""

from typing import Annotated

from fastapi import Depends, Header, Query

from shared.errors import FieldError, InvalidInputError
from shared.security.auth import with_role
from shared.security.tokens import Caller

AreaCode = Annotated[str | None, Query(pattern=r"^[0-9]{12}$")]
DepartmentCode = Annotated[str | None, Query(pattern=r"^[0-9A-Za-z_.-]{1,40}$")]
Words = Annotated[
    str | None, Query(min_length=2, max_length=60, description="At least two characters, or a code")
]
Editor = Annotated[
    Caller, Depends(with_role("approver", "leader", "department_head", "administrator"))
]
Publisher = Annotated[Caller, Depends(with_role("leader", "department_head", "administrator"))]
Lead = Annotated[Caller, Depends(with_role("department_head", "administrator"))]
"""Keeps the bundles that the department leads."""
Language = Annotated[str, Header(max_length=200)]


def place_of(caller: Caller) -> tuple[str, str] | None:
    """Whose matters the caller may touch; administrators all."""
    return None if "administrator" in caller.roles else (caller.area or "", caller.department or "")


def clean_words(q: str) -> str:
    if any(ord(c) < 32 or ord(c) == 127 for c in q) or not q.strip():
        raise InvalidInputError(
            "the search words cannot be used",
            [FieldError("q", "text", "send printable characters")],
        )
    return q
