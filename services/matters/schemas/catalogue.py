"""Commands and answers around the catalogue."""

from collections.abc import Sequence
from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from services.matters.consistency import Breach
from services.matters.model.matter import Change, ImportOutcome, ImportRow, ImportRun, Matter, State
from shared.domain.codes import MatterType
from shared.domain.guides import Bilingual, Code, MatterDocument
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
    type: MatterType
    area_code: str
    department_code: str
    level: int
    visits: int
    situational: bool


class MatterRead(BaseModel):
    """A published text with its guide and question tree.
    `online_level` is the derived depth 1–4.
    """

    id: UUID
    version: int
    online_level: int
    document: MatterDocument


class Suggestion(BaseModel):
    """A name that fits what is typed."""

    id: UUID
    name: str


class Suggestions(BaseModel):
    items: list[Suggestion]


class MatterHead(BaseModel):
    """State of a matter for its editors."""

    id: UUID
    revision: int
    state: State
    area_code: str
    department_code: str
    identity: str
    name: str
    published_version: int | None
    draft_version: int | None
    reviewing: bool

    @classmethod
    def of(cls, matter: Matter) -> Self:
        return cls(
            id=matter.id,
            revision=matter.revision,
            state=matter.state,
            area_code=matter.area_code,
            department_code=matter.department_code,
            identity=matter.identity,
            name=matter.name,
            published_version=matter.published_version,
            draft_version=matter.draft_version,
            reviewing=matter.reviewing,
        )


class BreachRead(BaseModel):
    """A broken consistency rule."""

    rule: str
    field: str
    message: str
    warning: bool

    @classmethod
    def of(cls, breach: Breach) -> Self:
        return cls(
            rule=breach.rule,
            field=breach.field,
            message=breach.message,
            warning=breach.warning,
        )


class DraftRead(MatterHead):
    """A draft with the rules that it breaks."""

    breaches: list[BreachRead]

    @classmethod
    def with_breaches(cls, matter: Matter, breaches: Sequence[Breach]) -> Self:
        head = MatterHead.of(matter)
        return cls(**head.model_dump(), breaches=[BreachRead.of(breach) for breach in breaches])


class VersionRead(BaseModel):
    """One version in the history."""

    version: int
    written_by: str
    written_at: datetime
    published_at: datetime | None


class Difference(BaseModel):
    """One changed place; null where the place is missing on that side."""

    path: str
    before: JsonValue
    after: JsonValue

    @classmethod
    def of(cls, change: Change) -> Self:
        return cls.model_validate(change._asdict())


class RowError(BaseModel):
    """A fault of an imported row."""

    field: str
    rule: str
    message: str
    row: int | None = None


class ImportRowRead(BaseModel):
    """What became of one row."""

    row: int
    outcome: ImportOutcome
    identity: str
    errors: list[RowError]

    @classmethod
    def of(cls, row: ImportRow) -> Self:
        errors: list[RowError] = []
        for error in row.errors:
            errors.append(
                RowError(field=error.field, rule=error.rule, message=error.message, row=error.row)
            )
        return cls(row=row.row, outcome=row.outcome, identity=row.identity, errors=errors)


class ImportReport(BaseModel):
    """What became of a file; `rows` holds the first 200 refused ones."""

    id: UUID
    accepted: int
    changed: int
    unchanged: int
    refused: int
    rows: list[ImportRowRead]

    @classmethod
    def of(cls, run: ImportRun, rows: Sequence[ImportRow]) -> Self:
        return cls(
            id=run.id,
            accepted=run.accepted,
            changed=run.changed,
            unchanged=run.unchanged,
            refused=run.refused,
            rows=[ImportRowRead.of(row) for row in rows],
        )


class DocumentError(BaseModel):
    """A fault of a line of documents."""

    row: int
    field: str
    rule: str
    message: str


class DocumentsReport(BaseModel):
    """What became of documents sent line by line; `errors` holds the first 200 faults."""

    accepted: int
    changed: int
    unchanged: int
    refused: int
    errors: list[DocumentError]


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
