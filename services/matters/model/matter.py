"""The matter and its rules: draft → reviewing → published → suspended → cancelled.

A published text is immutable.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, cast
from uuid import UUID

import orjson
from sqlalchemy import (
    Boolean,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from services.matters import search
from services.matters.model.base import Base
from shared.database.columns import StoredModel, enum_column, json_column
from shared.domain.codes import MatterType
from shared.domain.guides import Bilingual, MatterDocument, online_level
from shared.errors import ConflictError
from shared.events.matters import MatterCancelled, MatterPublished, MatterSuspended

NATIONAL_CODE_LENGTH = 31
"""Characters of an implementing code (实施编码)."""


class State(StrEnum):
    """事项状态."""

    DRAFT = "draft"  # 草稿
    PUBLISHED = "published"  # 在用
    SUSPENDED = "suspended"  # 挂起
    CANCELLED = "cancelled"  # 取消


class ImportOutcome(StrEnum):
    """What became of one row of an imported catalogue."""

    ACCEPTED = "accepted"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class Area(Base):
    """区划."""

    __tablename__ = "area"

    code: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[Bilingual] = json_column(Bilingual)


class Department(Base):
    """实施主体 of an area."""

    __tablename__ = "department"

    area_code: Mapped[str] = mapped_column(ForeignKey("area.code"), primary_key=True)
    code: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[Bilingual] = json_column(Bilingual)


class Matter(Base):
    """Head of a matter. The columns from `name` on describe its published version."""

    __tablename__ = "matter"
    __table_args__ = (
        Index("uq_matter_identity", "area_code", "department_code", "identity", unique=True),
        Index(
            "ix_matter_search",
            "search",
            postgresql_using="gin",
            postgresql_with={"fastupdate": "off"},
        ),
        Index(
            "ix_matter_listed",
            "area_code",
            "department_code",
            "id",
            postgresql_where=text("state = 'published'"),
        ),
        Index("ix_matter_all", "id", postgresql_where=text("state = 'published'")),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    revision: Mapped[int] = mapped_column(Integer)
    state: Mapped[State] = enum_column(State)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    identity: Mapped[str] = mapped_column(Text)
    published_version: Mapped[int | None] = mapped_column(Integer)
    draft_version: Mapped[int | None] = mapped_column(Integer)
    reviewing: Mapped[bool] = mapped_column(Boolean)
    content_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    name: Mapped[str] = mapped_column(Text)
    name_bo: Mapped[str | None] = mapped_column(Text)
    type: Mapped[MatterType] = enum_column(MatterType)
    level: Mapped[int] = mapped_column(SmallInteger)
    visits: Mapped[int] = mapped_column(SmallInteger)
    situational: Mapped[bool] = mapped_column(Boolean)
    object_types: Mapped[list[str]] = mapped_column(ARRAY(Text))
    topics: Mapped[list[str]] = mapped_column(ARRAY(Text))
    haystack: Mapped[str] = mapped_column(Text)
    # Never read in Python: SQL expressions are assigned to it.
    search: Mapped[Any] = mapped_column(TSVECTOR)

    def close(
        self, state: State, reason: str, *, now: datetime
    ) -> MatterSuspended | MatterCancelled:
        """Suspend (挂起) or cancel (取消) the matter; cancelled is for good.

        Raises `ConflictError` when its present state does not allow that.
        """
        allowed = {State.PUBLISHED}
        if state is State.CANCELLED:
            allowed.add(State.SUSPENDED)
        if self.state not in allowed:
            raise ConflictError(
                "the matter is {state}; this needs {allowed}",
                state=self.state,
                allowed=" or ".join(sorted(allowed)),
            )
        self.state = state
        self.revision += 1
        kind = MatterCancelled
        if state is State.SUSPENDED:
            kind = MatterSuspended
        code: str | None = None
        local_code: str | None = None
        if len(self.identity) == NATIONAL_CODE_LENGTH:
            code = self.identity
        else:
            local_code = self.identity
        return kind(
            matter_id=self.id,
            code=code,
            local_code=local_code,
            area_code=self.area_code,
            department_code=self.department_code,
            revision=self.revision,
            occurred_at=now,
            version=self.published_version or 0,
            reason=reason,
        )


class MatterVersion(Base):
    """One version of the text; unchangeable once published."""

    __tablename__ = "matter_version"

    matter_id: Mapped[UUID] = mapped_column(ForeignKey("matter.id"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    document: Mapped[MatterDocument] = json_column(MatterDocument)
    written_by: Mapped[str] = mapped_column(Text)
    written_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    published_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ImportRun(Base):
    """One import of a catalogue file and what became of its rows."""

    __tablename__ = "import_run"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    filename: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    accepted: Mapped[int] = mapped_column(Integer)
    changed: Mapped[int] = mapped_column(Integer)
    unchanged: Mapped[int] = mapped_column(Integer)
    refused: Mapped[int] = mapped_column(Integer)


class RowFault(StoredModel):
    """Why a row was refused; the text is stored as the sender reads it."""

    row: int
    field: str
    rule: str
    message: str


class ImportRow(Base):
    """The outcome of one row."""

    __tablename__ = "import_row"

    import_id: Mapped[UUID] = mapped_column(ForeignKey("import_run.id"), primary_key=True)
    row: Mapped[int] = mapped_column(Integer, primary_key=True)
    outcome: Mapped[ImportOutcome] = enum_column(ImportOutcome)
    identity: Mapped[str] = mapped_column(Text)
    errors: Mapped[list[RowFault]] = json_column(list[RowFault])


def identity_of(document: MatterDocument) -> str:
    """What makes a matter the same one in its department: the national code, else the local one."""
    return document.code or document.local_code or ""


def content_hash(content: object) -> bytes:
    """SHA-256 of a JSON document whose keys are sorted: equal documents have equal digests."""
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).digest()


@dataclass(frozen=True, slots=True)
class Description:
    """What the columns of `matter` say of a published text.

    `tokens` are the words by which it is found.
    """

    name: str
    name_bo: str | None
    type: MatterType
    level: int
    visits: int
    situational: bool
    object_types: list[str]
    topics: list[str]
    haystack: str
    tokens: list[str]


def describe(document: MatterDocument, department_name: str) -> Description:
    """The description of a published text of the department with this name."""
    texts = [
        document.name.zh,
        document.name.bo or "",
        *document.aliases,
        *document.topics,
        department_name,
        document.code or "",
        document.local_code or "",
    ]
    lines = [search.normalise(one) for one in texts if one]
    level = online_level(document.stages, document.visits)
    return Description(
        name=document.name.zh,
        name_bo=document.name.bo,
        type=MatterType(document.type),
        level=level,
        visits=document.visits,
        situational=bool(document.questions),
        object_types=list(document.object_types),
        topics=list(document.topics),
        haystack="\n".join(lines),
        tokens=search.tokens(texts) + search.marks(lines, _facets(document, level)),
    )


def _facets(document: MatterDocument, level: int) -> dict[str, Sequence[object]]:
    """What a published text can be filtered by, under the names of the filters."""
    return {
        "area": [document.area_code],
        "department": [document.department_code],
        "type": [document.type],
        "object": document.object_types,
        "topic": document.topics,
        "level": [level],
        "max_visits": [1] if document.visits <= 1 else [],
    }


class Change(NamedTuple):
    """One changed place of a text; None where the place is missing on that side."""

    path: str
    before: object
    after: object


def differences(before: object, *, after: object, path: str = "") -> list[Change]:
    """What changed between two JSON texts, by path; lists of coded parts are compared by code."""
    if isinstance(before, dict) and isinstance(after, dict):
        return _object_differences(
            cast("dict[str, object]", before), after=cast("dict[str, object]", after), path=path
        )
    if isinstance(before, list) and isinstance(after, list) and (before or after):
        old = _by_code(cast("list[object]", before))
        new = _by_code(cast("list[object]", after))
        if old is not None and new is not None:
            return _object_differences(old, after=new, path=path)
    return [] if before == after else [Change(path, before, after)]


def _object_differences(
    before: dict[str, object], *, after: dict[str, object], path: str
) -> list[Change]:
    found: list[Change] = []
    for name in [*before, *(name for name in after if name not in before)]:
        place = f"{path}.{name}" if path else name
        found += differences(before.get(name), after=after.get(name), path=place)
    return found


def _by_code(parts: list[object]) -> dict[str, object] | None:
    """The parts by their codes; None when not every part has a code of its own."""
    by_code: dict[str, object] = {}
    for part in parts:
        if not isinstance(part, dict):
            return None
        code = cast("dict[str, object]", part).get("code")
        if not code:
            return None
        by_code[str(code)] = part
    return by_code if len(by_code) == len(parts) else None


def published(
    matter_id: UUID,
    document: MatterDocument,
    *,
    content: dict[str, Any],
    revision: int,
    version: int,
    previous_level: int | None,
    now: datetime,
) -> MatterPublished:
    """The fact of a publication; `content` is the document as JSON."""
    return MatterPublished(
        matter_id=matter_id,
        code=document.code,
        local_code=document.local_code,
        area_code=document.area_code,
        department_code=document.department_code,
        revision=revision,
        occurred_at=now,
        version=version,
        type=document.type,
        level=online_level(document.stages, document.visits),
        previous_level=previous_level,
        situational=bool(document.questions),
        document=content,
    )
