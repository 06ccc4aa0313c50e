"""Commands and answers around the catalogue."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.domain.guides import Bilingual, Code
from shared.fields import Reason


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Closing(Strict):
    """Why a matter is suspended or cancelled."""

    reason: Reason


class AreaEntry(Strict):
    """区划 with its names."""

    code: str = Field(pattern=r"^[0-9]{12}$")
    name: Bilingual


class DepartmentEntry(Strict):
    """实施主体 of an area."""

    area_code: str = Field(pattern=r"^[0-9]{12}$")
    code: Code
    name: Bilingual


class Directory(Strict):
    """Areas and departments to be known; those there already get the new names."""

    areas: list[AreaEntry] = Field(default=[], max_length=5000)
    departments: list[DepartmentEntry] = Field(default=[], max_length=20000)


class AskGuide(Strict):
    """A situation: the answers along the question tree."""

    matter_id: UUID
    version: int | None = Field(default=None, ge=1, le=1_000_000)
    answers: dict[Code, Code] = Field(default={}, max_length=200)


class MatterSummary(BaseModel):
    """A matter in a list. `level` is the derived online depth 1–4."""

    id: UUID
    name: Bilingual
    display_name: str
    identity: str
    type: str
    area_code: str
    department_code: str
    level: int
    visits: int
    situational: bool


class Suggestion(BaseModel):
    """While typing."""

    id: UUID
    name: str


class Suggestions(BaseModel):
    items: list[Suggestion]


class MatterHead(BaseModel):
    """State of a matter for those who keep it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    revision: int
    state: str
    area_code: str
    department_code: str
    identity: str
    name: str
    published_version: int | None
    draft_version: int | None
    reviewing: bool


class BreachRead(BaseModel):
    """A broken consistency rule."""

    model_config = ConfigDict(from_attributes=True)

    rule: str
    field: str
    message: str
    warning: bool


class DraftRead(MatterHead):
    """A draft with what its rules say."""

    breaches: list[BreachRead]


class VersionRead(BaseModel):
    """One version in the history."""

    version: int
    written_by: str
    written_at: datetime
    published_at: datetime | None


class Difference(BaseModel):
    """One changed place."""

    path: str
    before: Any
    after: Any


class RowError(BaseModel):
    """A fault of an imported row."""

    field: str
    rule: str
    message: str
    row: int | None = None


class ImportRowRead(BaseModel):
    """What became of one row: accepted, changed, unchanged, refused."""

    row: int
    outcome: str
    identity: str
    errors: list[RowError]


class ImportReport(BaseModel):
    """What became of a file; `rows` holds the first 200 refused ones."""

    id: UUID
    accepted: int
    changed: int
    unchanged: int
    refused: int
    rows: list[ImportRowRead]


class Share(BaseModel):
    """A rate with what it is made of."""

    numerator: int
    denominator: int


class Statistics(BaseModel):
    """Published matters; application matters (依申请六类) and public service (公共服务) apart."""

    published: int
    situational: Share
    application_level_3: Share
    application_level_4: Share
    public_service_level_3: Share
    public_service_level_4: Share
    at_most_one_visit: int
    wholly_online: int
