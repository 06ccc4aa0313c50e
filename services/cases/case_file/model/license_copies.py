"""E-licences that meet materials (免提交, 用证): the copy of each, where it is used, and when it is evidence."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Date, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.cases.model_base import Base

VALID = "01"
"""有效, the only status that counts as evidence (norms of GB/T 36903)."""
EXPIRED = "05"
"""失效."""
NOT_YET = "99"
"""其他: as a day before its first one shows it."""


class LicenseCopy(Base):
    """A licence as its newest event told it; the number masked where the holder is a person."""

    __tablename__ = "license_copy"
    __table_args__ = (
        Index("ix_license_copy_holder_type_code", "holder", "type_code"),
        Index(
            "ix_license_copy_account",
            "account_id",
            "type_code",
            postgresql_where=text("account_id IS NOT NULL"),
        ),
    )

    license_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    revision: Mapped[int] = mapped_column(Integer)
    holder_kind: Mapped[str] = mapped_column(Text)
    holder: Mapped[str] = mapped_column(Text)
    type_code: Mapped[str] = mapped_column(Text)
    type_name: Mapped[dict[str, str]] = mapped_column(JSONB)
    number: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    trust: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(Text)
    valid_from: Mapped[date | None] = mapped_column(Date)
    valid_until: Mapped[date | None] = mapped_column(Date)
    account_id: Mapped[UUID | None] = mapped_column(Uuid)

    def status_on(self, day: date) -> str:
        """证照状态 as the day shows it: not before its first day, over after its last, whether or not news of that has come."""
        if self.status != VALID:
            return self.status
        if self.valid_from is not None and day < self.valid_from:
            return NOT_YET
        return EXPIRED if self.valid_until is not None and self.valid_until < day else VALID

    def snapshot(self, *, consent: bool) -> dict[str, Any]:
        """What the case keeps of it: which was used, in which version, on whose word."""
        return {
            "license_id": str(self.license_id),
            "type_code": self.type_code,
            "type_name": self.type_name,
            "number": self.number,
            "trust": self.trust,
            "digest": self.digest,
            "valid_until": self.valid_until and self.valid_until.isoformat(),
            "consent": consent,
        }


def is_license(material: dict[str, Any]) -> bool:
    return material.get("kind") == "license"


@dataclass(frozen=True, slots=True)
class Use:
    """Under which circumstances licences are used: whose evidence is needed, by whom, on which day.

    `holder`: the applicant's pseudonym. `account_id`: the account that applies; None at a window. `for_another`: an agent
    or a clerk acts. `asked`: licence type of each material of the personal guide, None where it asks for none.
    """

    holder: str
    account_id: UUID | None
    for_another: bool
    asked: dict[str, str | None]
    today: date

    def faults(
        self, code: str, license: LicenseCopy | None, *, consent: bool
    ) -> Iterator[tuple[str, str]]:
        """Rule and words of everything that forbids this licence to meet the material `code`."""
        if license is None or license.holder != self.holder:
            # Somebody else's is as one that is not there.
            yield "own_license", "no licence of this applicant has this id"
            return
        if self.asked.get(code) != license.type_code:
            yield "license_type", "the personal guide asks for another licence, or for none, here"
        if (status := license.status_on(self.today)) != VALID:
            yield "license_valid", f"the licence is no evidence now (status {status})"
        if not consent and (self.for_another or license.account_id not in {None, self.account_id}):
            yield "consent", "who uses another's licence records that its holder consents"


def reassess(material: dict[str, Any], license: LicenseCopy, day: date) -> dict[str, Any]:
    """The material as the licence's newest state makes it: `lapsed` with the status while it is no evidence.

    `current_digest` appears when the licence has got another version than the one that was used.
    """
    kept = {
        name: value for name, value in material.items() if name not in {"lapsed", "current_digest"}
    }
    kept["valid_until"] = license.valid_until and license.valid_until.isoformat()
    if license.digest != material["digest"]:
        kept["current_digest"] = license.digest
    status = license.status_on(day)
    return kept if status == VALID else {**kept, "lapsed": status}


def lapsed_status(material: dict[str, Any], day: date) -> str | None:
    """Why the licence that meets the material is no evidence on that day: its status; None where all is well."""
    if not is_license(material):
        return None
    if material.get("lapsed"):
        return str(material["lapsed"])
    until = material["valid_until"]
    return EXPIRED if until is not None and date.fromisoformat(until) < day else None
