"""What matters can do."""

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

__all__ = [
    "as_read",
    "ask_guide",
    "change_draft",
    "close_matter",
    "import_documents",
    "import_file",
    "publish_documents",
    "publish_draft",
    "review_draft",
    "store_directory",
    "write_draft",
]
