"""Tables of matters and their rules, one idea a file."""

from services.matters.model.base import Base
from services.matters.model.bundles import Bundle, BundleVersion
from services.matters.model.matter import (
    Area,
    Department,
    ImportRow,
    ImportRun,
    Matter,
    MatterVersion,
    State,
    close,
    content_hash,
    describe,
    differences,
    identity_of,
    published,
)
from services.matters.model.supervision import SupervisionCount, SupervisionRecord

__all__ = [
    "Area",
    "Base",
    "Bundle",
    "BundleVersion",
    "Department",
    "ImportRow",
    "ImportRun",
    "Matter",
    "MatterVersion",
    "State",
    "SupervisionCount",
    "SupervisionRecord",
    "close",
    "content_hash",
    "describe",
    "differences",
    "identity_of",
    "published",
]
