"""Who may edit what of the catalogue, and the parameters that its operations share."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Header, Query

from services.matters.settings import Settings
from shared.database.acts import Act
from shared.errors import FieldError, InvalidInputError
from shared.http.dependencies import act_by, current_time, settings_of
from shared.security.auth import with_role
from shared.security.tokens import Caller
from shared.texts import current_reader

AreaCode = Annotated[str | None, Query(pattern=r"^[0-9]{12}$")]
DepartmentCode = Annotated[str | None, Query(pattern=r"^[0-9A-Za-z_.-]{1,40}$")]
Words = Annotated[
    str | None, Query(min_length=2, max_length=60, description="At least two characters, or a code")
]
Language = Annotated[str, Header(max_length=200)]
Config = Annotated[Settings, Depends(settings_of(Settings))]

_editor = with_role("approver", "leader", "department_head", "administrator")
_publisher = with_role("leader", "department_head", "administrator")
_lead = with_role("department_head", "administrator")
Editor = Annotated[Caller, Depends(_editor)]
Lead = Annotated[Caller, Depends(_lead)]
"""Edits the bundles that the department leads."""
EditorAct = Annotated[Act[datetime], Depends(act_by(_editor, current_time))]
PublisherAct = Annotated[Act[datetime], Depends(act_by(_publisher, current_time))]
LeadAct = Annotated[Act[datetime], Depends(act_by(_lead, current_time))]


def clean_words(q: str) -> str:
    """The search words.

    Raises `InvalidInputError` when they are blank or hold control characters.
    """
    has_control = any(ord(character) < 32 or ord(character) == 127 for character in q)
    if has_control or not q.strip():
        raise InvalidInputError(
            "the search words cannot be used",
            [FieldError("q", "text", message="send printable characters")],
        )
    return q


def prefers_tibetan(language: str) -> bool:
    """Whether the header `Accept-Language` begins with Tibetan, and the city writes it."""
    return language.lower().startswith("bo") and "bo" in current_reader().languages
