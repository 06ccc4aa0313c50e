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
    """About one licence, with all that a service needs to let it meet a material. Never the holder's name or number.

    `identifier` is the 证照标识 with its check character; `holder` the pseudonym (`shared.security.crypto.pseudonym`) of the holder's
    ID number or USCC, by which a service recognises the licences of an applicant; `digest` the SHA-256 (hex) of the canonical
    record in this version; `trust` A (made and signed by the issuer) to D. Before `valid_from` it is no evidence whatever its
    status; facts of former days do not tell it.
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
    """Issued for a decided case, by API, or collected (采集) from old records; then `signed` tells whether 签发 is done too."""


class LicenseChanged(LicenseEvent, fact="license-changed"):
    """Another version, status or account with the same holder and type.

    Changed (变更), renewed (延续), given back (暂扣发还), signed, transferred (转出), linked to the account of its holder.
    """

    change: Literal["changed", "renewed", "released", "signed", "transferred", "linked"]


class LicenseSuspended(LicenseEvent, fact="license-suspended"):
    """Taken for a time (暂扣): no evidence until it is given back."""

    reason: str


class LicenseRevoked(LicenseEvent, fact="license-revoked"):
    """Revoked for good (撤销, 注销, 吊销)."""

    reason: str


class LicenseExpired(LicenseEvent, fact="license-expired"):
    """Its last day is over (失效)."""


class LicenseUsed(Event, service="licenses", fact="license-used"):
    """One use (用证) entered in the licence's log: for which case and matter, by whom, authorised by whom."""

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
