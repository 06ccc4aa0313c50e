"""What meets the materials of a case: files, promises (容缺), and e-licenses (免提交, 用证)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, ClassVar, Literal, NamedTuple, Self, cast
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    ModelWrapValidatorHandler,
    Tag,
    model_validator,
)
from sqlalchemy import BigInteger, Date, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.cases.case_file.model.enums import ApplicantKind, LicenseStatus, LicenseTrust
from services.cases.model_base import Base
from shared.database.columns import enum_column, is_none
from shared.errors import Rule

GAP_RESERVE = 2
"""Working days of the promised time that remain to the organ after the gap is filled."""
GAP_MOST = 20
"""Most working days that a promised material may take."""


class StoredPart(BaseModel):
    """Base of the JSON that a case keeps.

    Unknown keys are kept: a newer version beside this one may have written them.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="allow")

    @model_validator(mode="wrap")
    @classmethod
    def _keep_order(cls, value: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Answers show a stored document with its keys in the order that PostgreSQL gave them."""
        part = handler(value)
        fields = vars(part)
        # Only documents name their kind; what the code constructs has the order of the fields.
        if isinstance(value, dict) and ("kind" in value or "kind" not in fields):
            for name in cast("dict[str, object]", value):
                if name in fields:
                    fields[name] = fields.pop(name)
        return part


class Uploaded(StoredPart):
    """A file that the applicant uploaded."""

    code: str
    kind: Literal["upload"] = "upload"
    digest: str
    media_type: str


class FromEarlierCase(StoredPart):
    """The file of an earlier case of the applicant, or the result of another child of a bundle.

    A result has neither digest nor media type.
    """

    code: str
    kind: Literal["earlier_case"] = "earlier_case"
    digest: str | None = Field(default=None, exclude_if=is_none)
    media_type: str | None = Field(default=None, exclude_if=is_none)
    earlier_case_id: UUID
    earlier_code: str


class FromLicense(StoredPart):
    """An e-license (免提交): which one, in which version, with whose consent.

    `lapsed` is the license's status while it is no evidence any more. `current_digest` is that of
    its newest version when it has changed since it was used.
    """

    code: str
    kind: Literal["license"] = "license"
    license_id: UUID
    type_code: str
    type_name: dict[str, str]
    number: str
    trust: LicenseTrust
    digest: str
    valid_until: date | None
    consent: bool
    current_digest: str | None = Field(default=None, exclude_if=is_none)
    lapsed: LicenseStatus | None = Field(default=None, exclude_if=is_none)

    def lapsed_status(self, day: date) -> LicenseStatus | None:
        """Why the license is no evidence on that day; None where all is well."""
        if self.lapsed is not None:
            return self.lapsed
        if self.valid_until is not None and self.valid_until < day:
            return LicenseStatus.EXPIRED
        return None


class Promised(StoredPart):
    """A promise to bring the material later (容缺后补)."""

    code: str
    kind: Literal["promise"] = "promise"


def material_kind(value: object) -> str:
    """The kind of a material; where none is named, as in the oldest documents, it is an upload."""
    if isinstance(value, dict):
        return str(cast("dict[str, object]", value).get("kind", "upload"))
    return str(getattr(value, "kind", "upload"))


StoredMaterial = Annotated[
    Annotated[Uploaded, Tag("upload")]
    | Annotated[FromEarlierCase, Tag("earlier_case")]
    | Annotated[FromLicense, Tag("license")]
    | Annotated[Promised, Tag("promise")],
    Discriminator(material_kind),
]
"""What meets one material of the personal guide."""


class CorrectionItem(StoredPart):
    """One gap that the applicant is asked to fill (补正):
    a material of the guide, or only a text.
    """

    material_code: str | None
    text: str


def file_of(material: StoredMaterial) -> tuple[str, str] | None:
    """Digest and media type of the file that meets the material; None where no file does."""
    if isinstance(material, Uploaded):
        return material.digest, material.media_type
    if not isinstance(material, FromEarlierCase):
        return None
    if material.digest is None or material.media_type is None:
        return None
    return material.digest, material.media_type


def licenses_among(materials: Iterable[StoredMaterial]) -> list[FromLicense]:
    """Those materials that a license meets."""
    return [material for material in materials if isinstance(material, FromLicense)]


def gap_days(promised_days: int) -> int:
    """Working days from acceptance within which a promised material must come.

    Below 1 there is no room for a promise.
    """
    return min(promised_days - GAP_RESERVE, GAP_MOST)


# E-licenses


class LicenseValues(NamedTuple):
    """The columns of `license_copy`."""

    license_id: UUID
    revision: int
    event_number: int | None
    """Of the newest event; None in a copy that a release before 0.2 wrote."""
    holder_kind: ApplicantKind
    holder: str
    type_code: str
    type_name: dict[str, str]
    number: str
    status: LicenseStatus
    trust: LicenseTrust
    digest: str
    valid_from: date | None
    valid_until: date | None
    account_id: UUID | None


class LicenseCopy(Base):
    """A license as its newest event describes it; the number is masked where a person holds it.

    `holder` is the pseudonym of the holder's ID number or USCC.
    """

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
    event_number: Mapped[int | None] = mapped_column(BigInteger)
    """Of the newest event; empty of a release before 0.2, which went by the revision."""
    holder_kind: Mapped[ApplicantKind] = enum_column(ApplicantKind)
    holder: Mapped[str] = mapped_column(Text)
    type_code: Mapped[str] = mapped_column(Text)
    type_name: Mapped[dict[str, str]] = mapped_column(JSONB)
    number: Mapped[str] = mapped_column(Text)
    status: Mapped[LicenseStatus] = enum_column(LicenseStatus)
    trust: Mapped[LicenseTrust] = enum_column(LicenseTrust)
    digest: Mapped[str] = mapped_column(Text)
    valid_from: Mapped[date | None] = mapped_column(Date)
    valid_until: Mapped[date | None] = mapped_column(Date)
    account_id: Mapped[UUID | None] = mapped_column(Uuid)

    @classmethod
    def of(cls, values: LicenseValues) -> "LicenseCopy":
        """A copy that no session knows, for asking it about the license."""
        return cls(**values._asdict())

    def status_on(self, day: date) -> LicenseStatus:
        """证照状态 on that day, also when no event about its first or last day has come yet."""
        if self.status is not LicenseStatus.VALID:
            return self.status
        if self.valid_from is not None and day < self.valid_from:
            return LicenseStatus.OTHER
        if self.valid_until is not None and self.valid_until < day:
            return LicenseStatus.EXPIRED
        return LicenseStatus.VALID

    def as_material(self, code: str, *, consent: bool) -> FromLicense:
        """The material `code` as a case keeps it when this license meets it."""
        return FromLicense(
            code=code,
            trust=self.trust,
            digest=self.digest,
            number=self.number,
            consent=consent,
            type_code=self.type_code,
            type_name=self.type_name,
            license_id=self.license_id,
            valid_until=self.valid_until,
        )


@dataclass(frozen=True, slots=True)
class LicenseUse:
    """Under which circumstances licenses are used: whose evidence is needed, by whom, on which day.

    `holder`: the applicant's pseudonym. `account_id`: the account that applies; None at a window.
    `for_another`: an agent or a clerk acts. `asked`: the license type of each material of the
    personal guide, None where it asks for none.
    """

    holder: str
    account_id: UUID | None
    for_another: bool
    asked: dict[str, str | None]
    today: date

    def broken_rules(self, code: str, license: LicenseCopy | None, *, consent: bool) -> list[Rule]:
        """Everything that forbids this license to meet the material `code`."""
        if license is None or license.holder != self.holder:
            # The license of somebody else looks like one that does not exist.
            return [Rule("own_license", "no license of this applicant has this id")]
        broken: list[Rule] = []
        if self.asked.get(code) != license.type_code:
            broken.append(
                Rule(
                    "license_type", "the personal guide asks for another license, or for none, here"
                )
            )
        status = license.status_on(self.today)
        if status is not LicenseStatus.VALID:
            broken.append(
                Rule(
                    "license_valid",
                    "the license is no evidence now (status {status})",
                    status=status.value,
                )
            )
        if not consent and self._needs_consent(license):
            broken.append(
                Rule("consent", "who uses another's license records that its holder consents")
            )
        return broken

    def _needs_consent(self, license: LicenseCopy) -> bool:
        return self.for_another or license.account_id not in {None, self.account_id}


def recheck_material(material: FromLicense, license: LicenseCopy, *, day: date) -> FromLicense:
    """The material as the license's newest state makes it on that day."""
    status: LicenseStatus | None = license.status_on(day)
    if status is LicenseStatus.VALID:
        status = None
    current_digest: str | None = None
    if license.digest != material.digest:
        current_digest = license.digest
    return material.model_copy(
        update={
            "valid_until": license.valid_until,
            "current_digest": current_digest,
            "lapsed": status,
        }
    )
