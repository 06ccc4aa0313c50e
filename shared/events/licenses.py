"""Facts of the licenses service (电子证照)."""

from datetime import date
from typing import Literal
from uuid import UUID

from shared.events.base import Event
from shared.events.records import RecordsJudged

Status = Literal["01", "02", "03", "04", "05", "06", "07", "99"]
"""01 有效 02 暂扣 03 撤销 04 注销 05 失效 06 转出 07 吊销 99 其他; only 01 counts as evidence."""
Origin = Literal["case", "api", "collected"]


class LicenseEvent(Event, service="licenses"):
    """About one license, with all that a service needs to let it replace a material.

    It never holds the holder's name or number. `identifier` is the 证照标识 with its check
    character. `holder` is the pseudonym (`shared.security.crypto.pseudonym`) of the holder's ID
    number or USCC, by which a service recognises the licenses of an applicant. `digest` is the
    SHA-256 (hex) of the canonical record in this version. `trust` is A (made and signed by the
    issuer) to D. Before `valid_from`, which older events lack, a license is no evidence whatever
    its status.
    """

    license_id: UUID
    identifier: str
    number: str
    type_code: str
    type_name: dict[str, str]
    area_code: str
    department_code: str
    issuer_code: str
    holder_kind: Literal["person", "organisation"]
    holder: str
    account_id: UUID | None
    status: Status
    trust: Literal["A", "B", "C", "D"]
    issued_on: date
    valid_from: date | None = None
    valid_until: date | None
    digest: str
    origin: Origin
    signed: bool
    case_id: UUID | None

    @property
    def key(self) -> str:
        return str(self.license_id)


class LicenseIssued(LicenseEvent, fact="license-issued"):
    """Issued for a decided case, by API, or collected (采集) from old records."""


class LicenseChanged(LicenseEvent, fact="license-changed"):
    """Another version, status or account of the license, with the same holder and type.

    Changed (变更), renewed (延续), released (暂扣发还), signed (签发), transferred (转出), or
    linked to the account of its holder.
    """

    change: Literal["changed", "renewed", "released", "signed", "transferred", "linked"]


class LicenseSuspended(LicenseEvent, fact="license-suspended"):
    """Suspended (暂扣): no evidence until it is released."""

    reason: str


class LicenseRevoked(LicenseEvent, fact="license-revoked"):
    """Revoked for good (撤销, 注销, 吊销)."""

    reason: str


class LicenseExpired(LicenseEvent, fact="license-expired"):
    """Its last day has passed (失效)."""


class LicenseUsed(Event, service="licenses", fact="license-used"):
    """One use (用证) was entered in the license's log."""

    license_id: UUID
    type_code: str
    use_id: UUID
    case_id: UUID | None
    case_number: str | None
    matter_id: UUID | None
    area_code: str
    department_code: str

    @property
    def key(self) -> str:
        return str(self.license_id)


class LicenseRecordsJudged(RecordsJudged, service="licenses", fact="records-judged"):
    """The verdicts on collected licences that came by batch."""
