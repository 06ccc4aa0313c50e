"""Commands and answers of bundles."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

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
    state: str


class BundleRead(BaseModel):
    """A published bundle. `materials` are merged from the children's present guides."""

    id: UUID
    version: int
    open: bool
    document: BundleDocument
    children: list[ChildState]
    materials: list[MergedMaterial]


class BundleHead(BaseModel):
    """State of a bundle for those who keep it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    revision: int
    state: str
    code: str
    area_code: str
    department_code: str
    name: str
    published_version: int | None
    draft_version: int | None


class BundleDraftRead(BundleHead):
    """A draft with what its rules say, and its text."""

    breaches: list[BreachRead]
    document: dict[str, Any]
