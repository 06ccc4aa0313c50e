"""What matters can do."""

from services.matters.use_cases.bundles import (
    ask_bundle_guide,
    change_bundle,
    publish_bundle,
    read_bundle_draft,
    withdraw_bundle,
    write_bundle,
)
from services.matters.use_cases.catalogue import ask_guide, store_directory
from services.matters.use_cases.drafts import (
    as_read,
    change_draft,
    close_matter,
    publish_draft,
    review_draft,
    write_draft,
)
from services.matters.use_cases.imports import import_documents, import_file
from services.matters.use_cases.publishing import publish_documents
from services.matters.use_cases.supervision import record_supervision

__all__ = [
    "as_read",
    "ask_bundle_guide",
    "ask_guide",
    "change_bundle",
    "change_draft",
    "close_matter",
    "import_documents",
    "import_file",
    "publish_bundle",
    "publish_documents",
    "publish_draft",
    "read_bundle_draft",
    "record_supervision",
    "review_draft",
    "store_directory",
    "withdraw_bundle",
    "write_bundle",
    "write_draft",
]
