"""The one-thing bundle (一件事) and its versions: draft → published → withdrawn.

A published version is immutable.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from services.matters import search
from services.matters.model.base import Base
from services.matters.model.matter import State
from shared.database.columns import enum_column, json_column
from shared.domain.bundles import BundleDocument, BundleSnapshot
from shared.errors import ConflictError
from shared.events.matters import BundlePublished

IS_PUBLISHED = text("state = 'published'")


class Bundle(Base):
    """Head of a bundle. `name`, `matters` and `search` describe its published version.

    Whether it is open to applications is not stored: it follows from the states of the children's
    matters.
    """

    __tablename__ = "bundle"
    __table_args__ = (
        Index("uq_bundle_code", "area_code", "code", unique=True),
        Index("ix_bundle_search", "search", postgresql_using="gin"),
        Index("ix_bundle_listed", "id", postgresql_where=IS_PUBLISHED),
        Index("ix_bundle_drafts", "id", postgresql_where=text("draft_version IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    revision: Mapped[int] = mapped_column(Integer)
    state: Mapped[State] = enum_column(State)
    code: Mapped[str] = mapped_column(Text)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    published_version: Mapped[int | None] = mapped_column(Integer)
    draft_version: Mapped[int | None] = mapped_column(Integer)
    name: Mapped[str] = mapped_column(Text)
    name_bo: Mapped[str | None] = mapped_column(Text)
    matters: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    # Never read in Python: SQL expressions are assigned to it.
    search: Mapped[Any] = mapped_column(TSVECTOR)

    def describe(self, document: BundleDocument) -> list[str]:
        """Copy the names and children of a version, and return the words that it is found by."""
        self.name = document.name.zh
        self.name_bo = document.name.bo
        self.matters = [child.matter_id for child in document.children]
        texts = [document.name.zh, document.name.bo or "", *document.aliases]
        lines = [search.normalise(one) for one in texts if one]
        return search.tokens(texts) + search.marks(lines, {"area": [document.area_code]})

    def publish(self, document: BundleSnapshot, now: datetime) -> BundlePublished:
        """The draft becomes the version in force."""
        self.state = State.PUBLISHED
        self.published_version = self.draft_version
        self.draft_version = None
        self.revision += 1
        return self._published_event(document, now)

    def withdraw(self, document: BundleSnapshot, now: datetime) -> BundlePublished:
        """No applications any more until another version is published."""
        self.check_published()
        self.state = State.SUSPENDED
        self.revision += 1
        return self._published_event(document, now)

    def check_published(self) -> None:
        """Raises `ConflictError` unless the bundle is published."""
        if self.state != State.PUBLISHED:
            raise ConflictError("the bundle is {state}; this needs published", state=self.state)

    def _published_event(self, document: BundleSnapshot, now: datetime) -> BundlePublished:
        return BundlePublished(
            bundle_id=self.id,
            code=self.code,
            area_code=self.area_code,
            department_code=self.department_code,
            version=self.published_version or 0,
            open=self.state == State.PUBLISHED,
            document=document.model_dump(mode="json"),
            revision=self.revision,
            occurred_at=now,
        )


class BundleVersion(Base):
    """One version of the text; unchangeable once published.

    A draft is what the lead department writes; publication adds what was computed of the children.
    """

    __tablename__ = "bundle_version"

    bundle_id: Mapped[UUID] = mapped_column(ForeignKey("bundle.id"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    # The stored draft has no keys of the snapshot, so each kind is read as what it was stored as.
    document: Mapped[BundleDocument | BundleSnapshot] = json_column(BundleDocument | BundleSnapshot)
    written_by: Mapped[str] = mapped_column(Text)
    written_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    published_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    @property
    def snapshot(self) -> BundleSnapshot:
        """The text of a published version."""
        if isinstance(self.document, BundleSnapshot):
            return self.document
        return BundleSnapshot.model_validate(self.document.model_dump())
