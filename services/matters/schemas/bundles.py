"""Commands and answers of bundles."""

from collections.abc import Sequence
from typing import Self
from uuid import UUID

from pydantic import BaseModel

from services.matters.consistency import Breach
from services.matters.model.bundles import Bundle
from services.matters.model.matter import State
from services.matters.schemas.catalogue import BreachRead, Strict
from shared.domain.bundles import Answers, BundleDocument, MergedMaterial
from shared.domain.guides import Bilingual


class AskBundleGuide(Strict):
    """A situation: the answers along the question tree of each child."""

    answers: Answers


class BundleSummary(BaseModel):
    """A bundle in a list; `open` when every child's matter takes applications."""

    id: UUID
    code: str
    name: Bilingual
    display_name: str
    area_code: str
    department_code: str
    children: int
    open: bool


class ChildState(BaseModel):
    """A child as its matter stands now: published, suspended, cancelled."""

    code: str
    matter_id: UUID
    name: Bilingual | None
    state: State


class BundleRead(BaseModel):
    """A published bundle. `materials` are merged from the children's present guides."""

    id: UUID
    version: int
    open: bool
    document: BundleDocument
    children: list[ChildState]
    materials: list[MergedMaterial]


class BundleHead(BaseModel):
    """State of a bundle for its editors."""

    id: UUID
    revision: int
    state: State
    code: str
    area_code: str
    department_code: str
    name: str
    published_version: int | None
    draft_version: int | None

    @classmethod
    def of(cls, bundle: Bundle) -> Self:
        return cls(
            id=bundle.id,
            revision=bundle.revision,
            state=bundle.state,
            code=bundle.code,
            area_code=bundle.area_code,
            department_code=bundle.department_code,
            name=bundle.name,
            published_version=bundle.published_version,
            draft_version=bundle.draft_version,
        )


class BundleDraftRead(BundleHead):
    """A draft with the rules that it breaks, and its text."""

    breaches: list[BreachRead]
    document: BundleDocument

    @classmethod
    def with_breaches(
        cls, bundle: Bundle, document: BundleDocument, *, breaches: Sequence[Breach]
    ) -> Self:
        head = BundleHead.of(bundle)
        return cls(
            **head.model_dump(),
            breaches=[BreachRead.of(breach) for breach in breaches],
            document=document,
        )
