"""The matter and its rules: draft → reviewing → published → suspended → cancelled; a published text is immutable."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
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
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from services.matters import search
from services.matters.model.base import Base
from shared.domain.guides import MatterDocument, online_level
from shared.errors import ConflictError
from shared.events.matters import MatterCancelled, MatterPublished, MatterSuspended


class State(StrEnum):
    """事项状态."""

    DRAFT = "draft"  # 草稿
    PUBLISHED = "published"  # 在用
    SUSPENDED = "suspended"  # 挂起
    CANCELLED = "cancelled"  # 取消


class Area(Base):
    """区划."""

    __tablename__ = "area"

    code: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Department(Base):
    """实施主体 of an area."""

    __tablename__ = "department"

    area_code: Mapped[str] = mapped_column(ForeignKey("area.code"), primary_key=True)
    code: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Matter(Base):
    """Head of a matter. The columns from `name` on describe its published version, for search and lists."""

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
    state: Mapped[str] = mapped_column(Text)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    identity: Mapped[str] = mapped_column(Text)
    published_version: Mapped[int | None] = mapped_column(Integer)
    draft_version: Mapped[int | None] = mapped_column(Integer)
    reviewing: Mapped[bool] = mapped_column(Boolean)
    content_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    name: Mapped[str] = mapped_column(Text)
    name_bo: Mapped[str | None] = mapped_column(Text)
    type: Mapped[str] = mapped_column(Text)
    level: Mapped[int] = mapped_column(SmallInteger)
    visits: Mapped[int] = mapped_column(SmallInteger)
    situational: Mapped[bool] = mapped_column(Boolean)
    object_types: Mapped[list[str]] = mapped_column(ARRAY(Text))
    topics: Mapped[list[str]] = mapped_column(ARRAY(Text))
    haystack: Mapped[str] = mapped_column(Text)
    search: Mapped[Any] = mapped_column(TSVECTOR)


class MatterVersion(Base):
    """One version of the text; unchangeable once published."""

    __tablename__ = "matter_version"

    matter_id: Mapped[UUID] = mapped_column(ForeignKey("matter.id"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)
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


class ImportRow(Base):
    """The outcome of one row."""

    __tablename__ = "import_row"

    import_id: Mapped[UUID] = mapped_column(ForeignKey("import_run.id"), primary_key=True)
    row: Mapped[int] = mapped_column(Integer, primary_key=True)
    outcome: Mapped[str] = mapped_column(Text)
    identity: Mapped[str] = mapped_column(Text)
    errors: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)


def identity_of(document: MatterDocument) -> str:
    """What makes a matter the same one in its department: the national code, else the local one."""
    return document.code or document.local_code or ""


def content_hash(content: dict[str, Any]) -> bytes:
    """Digest of a document as JSON: equal texts are told by it."""
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).digest()


def describe(document: MatterDocument, department_name: str) -> dict[str, Any]:
    """The columns of `matter` that describe a published text."""
    texts = [document.name.zh, document.name.bo or "", *document.aliases, *document.topics]
    texts += [department_name, document.code or "", document.local_code or ""]
    lines = [search.normalise(text) for text in texts if text]
    level = online_level(document.stages, document.visits)
    return {
        "name": document.name.zh,
        "name_bo": document.name.bo,
        "type": document.type,
        "level": level,
        "visits": document.visits,
        "situational": bool(document.questions),
        "object_types": list(document.object_types),
        "topics": list(document.topics),
        "haystack": "\n".join(lines),
        "tokens": search.tokens(texts) + search.marks(lines, _facets(document, level)),
    }


def _facets(document: MatterDocument, level: int) -> dict[str, Sequence[object]]:
    """What a published text is found by beside words, under the names of the filters."""
    return {
        "area": [document.area_code],
        "department": [document.department_code],
        "type": [document.type],
        "object": document.object_types,
        "topic": document.topics,
        "level": [level],
        "max_visits": [1] if document.visits <= 1 else [],
    }


def published(
    matter_id: UUID,
    revision: int,
    version: int,
    document: MatterDocument,
    content: dict[str, Any],
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


def close(
    matter: Matter, state: State, reason: str, now: datetime
) -> MatterSuspended | MatterCancelled:
    """Suspend (挂起) or cancel (取消) a matter; cancelled is for good."""
    allowed = {
        State.SUSPENDED: {State.PUBLISHED},
        State.CANCELLED: {State.PUBLISHED, State.SUSPENDED},
    }[state]
    if matter.state not in allowed:
        raise ConflictError(
            f"the matter is {matter.state}; this needs {' or '.join(sorted(allowed))}"
        )
    matter.state, matter.revision = state, matter.revision + 1
    kind = MatterSuspended if state is State.SUSPENDED else MatterCancelled
    national = matter.identity if len(matter.identity) == 31 else None
    return kind(
        matter_id=matter.id,
        code=national,
        local_code=None if national else matter.identity,
        area_code=matter.area_code,
        department_code=matter.department_code,
        revision=matter.revision,
        occurred_at=now,
        version=matter.published_version or 0,
        reason=reason,
    )


def differences(before: Any, after: Any, path: str = "") -> Sequence[dict[str, Any]]:
    """What changed between two texts, by path; lists of coded parts are compared by code."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = [*before, *(name for name in after if name not in before)]
        return [
            d
            for n in names
            for d in differences(before.get(n), after.get(n), f"{path}.{n}" if path else n)
        ]
    if isinstance(before, list) and isinstance(after, list):
        keyed = [
            {p["code"]: p for p in side if isinstance(p, dict) and p.get("code")}
            for side in (before, after)
        ]
        if all(len(k) == len(side) for k, side in zip(keyed, (before, after), strict=True)) and (
            before or after
        ):
            return differences(keyed[0], keyed[1], path)
    return [] if before == after else [{"path": path, "before": before, "after": after}]
