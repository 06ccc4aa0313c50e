"""Licence types (证照类型): a definition is immutable once published; a change of it is the next version."""

import re
from calendar import monthrange
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import DateTime, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.licenses.model.base import Base
from shared.domain import codes
from shared.errors import FieldError
from shared.fields import CLEAN, Line

MAX_VALUE = 500
NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,6})?")


def check_type_code(text: str) -> str:
    """证照类型代码 (GB/T 36904): USCC of the defining body and three digits."""
    code = text.strip().upper()
    if not re.fullmatch(r"[0-9A-Z]{18}[0-9]{3}", code):
        raise ValueError(
            "a licence type code has the 18 characters of the defining body's USCC and three digits"
        )
    _ = codes.check_uscc(code[:18])
    return code


TypeCode = Annotated[str, Field(max_length=40), CLEAN, AfterValidator(check_type_code)]
Uscc = Annotated[str, Field(max_length=40), CLEAN, AfterValidator(codes.check_uscc)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bilingual(Part):
    """Chinese, and Tibetan where it is known."""

    zh: Line
    bo: Line | None = None


class Body(Part):
    """An authority: name and unified social credit code."""

    name: Line
    code: Uscc


class Validity(Part):
    """有效期: so many days, months or years from the day of issue; `none` for good."""

    unit: Literal["days", "months", "years", "none"] = "none"
    amount: int = Field(default=0, ge=0, le=36_500)

    @model_validator(mode="after")
    def _amount_fits(self) -> "Validity":
        if (self.unit == "none") != (self.amount == 0):
            raise ValueError("give an amount with days, months or years, and none with `none`")
        if self.unit == "years" and self.amount > 100:
            raise ValueError("at most 100 years")
        return self

    def last_day(self, first: date) -> date | None:
        """The last day on which it holds when `first` is the first; None for good."""
        if self.unit == "none":
            return None
        if self.unit == "days":
            return first + timedelta(days=self.amount - 1)
        months = (
            first.year * 12 + first.month - 1 + self.amount * (12 if self.unit == "years" else 1)
        )
        year, month = divmod(months, 12)
        # The day before the same day of the later month; a day that this month lacks counts as its last.
        day = min(first.day, monthrange(year, month + 1)[1])
        return date(year, month + 1, day) - timedelta(days=1)


class TypeField(Part):
    """One field of a licence's content; a number is written as decimal digits, so that it has one form for the digest."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    label: Bilingual
    kind: Literal["text", "date", "number", "choice"] = "text"
    choices: Annotated[list[Line], Field(max_length=100)] = []
    required: bool = False
    sensitivity: Literal["public", "internal", "sensitive"] = "public"

    @model_validator(mode="after")
    def _choices_fit(self) -> "TypeField":
        if (self.kind == "choice") != bool(self.choices):
            raise ValueError("a choice needs its choices, and nothing else has any")
        return self

    def fault(self, value: str) -> str | None:
        """What is wrong with a value, in words."""
        if self.kind == "choice" and value not in self.choices:
            return "is none of the choices"
        if self.kind == "number" and not NUMBER.fullmatch(value):
            return "is no decimal number"
        if self.kind == "date":
            try:
                _ = date.fromisoformat(value)
            except ValueError:
                return "is no date (YYYY-MM-DD)"
        return None


class TypeDocument(Part):
    """The definition of a licence type in one version; whoever is none of `issuing_bodies` issues none of it."""

    name: Bilingual
    defining_body: Body
    issuing_bodies: Annotated[list[Body], Field(min_length=1, max_length=300)]
    holder_kind: Literal["person", "organisation", "any"]
    validity: Validity = Validity()
    trust: Literal["A", "B", "C", "D"] = "A"
    fields: Annotated[list[TypeField], Field(max_length=60)] = []
    template: Literal["certificate", "permit"] = "certificate"

    @model_validator(mode="after")
    def _names_are_unique(self) -> "TypeDocument":
        names = [field.name for field in self.fields]
        if len(names) != len(set(names)):
            raise ValueError("two fields have the same name")
        return self

    def issuer(self, code: str) -> Body | None:
        """颁发机构 with this code, if it may issue."""
        return next((body for body in self.issuing_bodies if body.code == code), None)

    def faults(self, values: Mapping[str, str], *, complete: bool = True) -> list[FieldError]:
        """Everything that is wrong with a licence's content, all at once."""
        known = {field.name: field for field in self.fields}
        # The name of an unknown field is the sender's own word: it is not repeated, it may be a value in the wrong place.
        faults = [FieldError("fields", "unknown", "holds a field that the type does not have")] * (
            not set(values) <= set(known)
        )
        for name, field in known.items():
            value = values.get(name)
            if value is None:
                if complete and field.required:
                    faults.append(
                        FieldError(f"fields.{name}", "required", "is required by the licence type")
                    )
            elif words := field.fault(value):
                faults.append(FieldError(f"fields.{name}", field.kind, words))
        return faults


class LicenseType(Base):
    """The newest version of a type."""

    __tablename__ = "license_type"

    code: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)
    published_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class LicenseTypeVersion(Base):
    """Every version that was ever published, as it was."""

    __tablename__ = "license_type_version"

    code: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)
    published_by: Mapped[str] = mapped_column(Text)
    published_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
