"""What meets the materials of a case, as its row keeps it, and how long a promise lasts (容缺)."""

from datetime import date
from typing import Annotated, ClassVar, Literal, Self, cast
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

from services.cases.case_file.model.enums import LicenseStatus, LicenseTrust

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


def _is_none(value: object) -> bool:
    """For keys that a document has only while there is something to say."""
    return value is None


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
    digest: str | None = Field(default=None, exclude_if=_is_none)
    media_type: str | None = Field(default=None, exclude_if=_is_none)
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
    current_digest: str | None = Field(default=None, exclude_if=_is_none)
    lapsed: LicenseStatus | None = Field(default=None, exclude_if=_is_none)

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


def gap_days(promised_days: int) -> int:
    """Working days from acceptance within which a promised material must come.

    Below 1 there is no room for a promise.
    """
    return min(promised_days - GAP_RESERVE, GAP_MOST)
