"""Which license meets a material of which open case."""

from uuid import UUID

from sqlalchemy import ForeignKey, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.cases.model_base import Base


class CaseLicense(Base):
    """A material of an open case that a license meets.

    With it, the cases that use a revoked license are found.
    """

    __tablename__ = "case_license"

    license_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    case_id: Mapped[UUID] = mapped_column(ForeignKey("case_file.id"), primary_key=True)
    material_code: Mapped[str] = mapped_column(Text, primary_key=True)
