"""The canonical record: what a license says in one version, as it is digested and signed.

It is stored as the signed text and parsed only where a part of it is shown.
"""

from pydantic import BaseModel, ConfigDict

from services.licenses.model.states import HolderKind


class RecordPart(BaseModel):
    # A record of a later version of the platform may hold more.
    model_config = ConfigDict(frozen=True, extra="ignore")


class RecordType(RecordPart):
    """The license type at the time of issue; `name` by language."""

    code: str
    version: int
    name: dict[str, str]


class RecordIssuer(RecordPart):
    """颁发机构."""

    name: str
    code: str


class RecordHolder(RecordPart):
    """持证主体; `number` is an ID number or a USCC."""

    kind: HolderKind
    name: str
    number: str


class LicenseRecord(RecordPart):
    """The parts of a record that are shown. Days are ISO texts, as they were signed."""

    identifier: str
    number: str
    version: int
    type: RecordType
    issuer: RecordIssuer
    holder: RecordHolder
    fields: dict[str, str]
    issued_on: str
    valid_from: str
    valid_until: str | None = None


def parse_record(text: str) -> LicenseRecord:
    """The record behind the signed text."""
    return LicenseRecord.model_validate_json(text)
