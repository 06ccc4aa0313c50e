"""License types (证照类型). A published definition never changes; a change is the next version."""

import re
from calendar import monthrange
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import DateTime, Integer, Text
from sqlalchemy.orm import Mapped, mapped_column

from services.licenses.model.base import Base
from shared.database.columns import json_column
from shared.domain import codes
from shared.errors import FieldError, InvalidValueError, Rule
from shared.fields import CLEAN, Line

MAX_VALUE = 500
"""Characters of one value of a license."""
MAX_YEARS = 100
NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,6})?")


def check_type_code(text: str) -> str:
    """证照类型代码 (GB/T 36904): USCC of the defining body and three digits.

    Raises:
        InvalidValueError: the form or the check character of the USCC is wrong.
    """
    code = text.strip().upper()
    if not re.fullmatch(r"[0-9A-Z]{18}[0-9]{3}", code):
        raise InvalidValueError(
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
    """有效期: days, months or years from the first day; `none` means without end."""

    unit: Literal["days", "months", "years", "none"] = "none"
    amount: int = Field(default=0, ge=0, le=36_500)

    @model_validator(mode="after")
    def _amount_fits(self) -> "Validity":
        if (self.unit == "none") != (self.amount == 0):
            raise InvalidValueError(
                "give an amount with days, months or years, and none with `none`"
            )
        if self.unit == "years" and self.amount > MAX_YEARS:
            raise InvalidValueError("at most {limit} years", limit=MAX_YEARS)
        return self

    def last_day(self, first: date) -> date | None:
        """The last day of validity when `first` is the first; None without end."""
        if self.unit == "none":
            return None
        if self.unit == "days":
            return first + timedelta(days=self.amount - 1)
        added_months = self.amount
        if self.unit == "years":
            added_months = self.amount * 12
        year, month = divmod(first.year * 12 + first.month - 1 + added_months, 12)
        # A month that lacks the day (31st, 29th of February) counts to its last day.
        day = min(first.day, monthrange(year, month + 1)[1])
        return date(year, month + 1, day) - timedelta(days=1)


NOT_A_CHOICE = Rule("choice", "is none of the choices")
NOT_A_NUMBER = Rule("number", "is no decimal number")
NOT_A_DATE = Rule("date", "is no date (YYYY-MM-DD)")


class TypeField(Part):
    """One field of a license's content.

    Values are texts. A number is written as decimal digits, so that it has one form to digest.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    label: Bilingual
    kind: Literal["text", "date", "number", "choice"] = "text"
    choices: Annotated[list[Line], Field(max_length=100)] = []
    required: bool = False
    sensitivity: Literal["public", "internal", "sensitive"] = "public"

    @model_validator(mode="after")
    def _choices_fit(self) -> "TypeField":
        if (self.kind == "choice") != bool(self.choices):
            raise InvalidValueError("a choice needs its choices, and nothing else has any")
        return self

    def check(self, value: str) -> Rule | None:
        """The rule that the value breaks; None for a sound value."""
        if self.kind == "choice" and value not in self.choices:
            return NOT_A_CHOICE
        if self.kind == "number" and not NUMBER.fullmatch(value):
            return NOT_A_NUMBER
        if self.kind == "date":
            try:
                _ = date.fromisoformat(value)
            except ValueError:
                return NOT_A_DATE
        return None


# Inputs name their lists as Literal: the rule of a wrong value stays `literal_error`.
class TypeDocument(Part):
    """The definition of a license type in one version. Only `issuing_bodies` may issue it."""

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
            raise InvalidValueError("two fields have the same name")
        return self

    def issuer(self, code: str) -> Body | None:
        """颁发机构 with this code, if it may issue."""
        for body in self.issuing_bodies:
            if body.code == code:
                return body
        return None

    def fits_holder(self, kind: str) -> bool:
        """Whether the type is issued to holders of this kind."""
        return self.holder_kind == "any" or self.holder_kind == kind

    def faults(self, values: Mapping[str, str], *, complete: bool = True) -> list[FieldError]:
        """Every fault of a license's content. With `complete`, required fields must be there."""
        faults: list[FieldError] = []
        known = {field.name for field in self.fields}
        if not set(values) <= known:
            # The unknown name itself is not repeated: it may be a value in the wrong place.
            faults.append(
                FieldError("fields", "unknown", message="holds a field that the type does not have")
            )
        for field in self.fields:
            path = f"fields.{field.name}"
            value = values.get(field.name)
            if value is None:
                if complete and field.required:
                    faults.append(
                        FieldError(path, "required", message="is required by the licence type")
                    )
                continue
            rule = field.check(value)
            if rule is not None:
                faults.append(FieldError.at(path, rule))
        return faults


class LicenseType(Base):
    """The newest version of a type."""

    __tablename__ = "license_type"

    code: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    document: Mapped[TypeDocument] = json_column(TypeDocument)
    published_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class LicenseTypeVersion(Base):
    """Every version that was ever published, as it was."""

    __tablename__ = "license_type_version"

    code: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    document: Mapped[TypeDocument] = json_column(TypeDocument)
    published_by: Mapped[str] = mapped_column(Text)
    published_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
