"""Tables of licences and their rules."""

from services.licenses.model.base import Base

__all__ = ["Base"]
