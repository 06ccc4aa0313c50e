"""License types as they are shown."""

from datetime import datetime

from pydantic import BaseModel

from services.licenses.model.types import TypeDocument


class TypeRead(BaseModel):
    """A license type in one version."""

    code: str
    version: int
    document: TypeDocument
    published_at: datetime
