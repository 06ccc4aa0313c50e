"""The parts of the platform's answers that the demonstration reads."""

from typing import Generic, NotRequired, TypedDict, TypeVar

T = TypeVar("T")


class Page(TypedDict, Generic[T]):
    """One page of a list; `next` is the cursor of the following page."""

    items: list[T]
    next: str | None


class Problem(TypedDict):
    """A refusal (RFC 9457); `allowed` names the acts that are possible instead."""

    code: str
    detail: str
    allowed: list[str]


class Name(TypedDict):
    zh: str


class Tokens(TypedDict):
    access_token: str
    refresh_token: str


class SmsMessage(TypedDict):
    text: str
    sent_at: str


class Person(TypedDict):
    """A citizen's own account, masked."""

    name: str
    id_number: str
    phone: str


class Share(TypedDict):
    numerator: int
    denominator: int


class CatalogueStatistics(TypedDict):
    published: int
    situational: Share


class Fault(TypedDict):
    field: str
    message: str


class ImportedRow(TypedDict):
    row: int
    errors: list[Fault]


class ImportReport(TypedDict):
    accepted: int
    unchanged: int
    changed: int
    rows: list[ImportedRow]


class Suggestion(TypedDict):
    name: str


class Option(TypedDict):
    code: str
    next: NotRequired[str | None]


class Question(TypedDict):
    code: str
    options: list[Option]


class MatterDocument(TypedDict):
    first_question: str | None
    questions: list[Question]


class Hit(TypedDict):
    id: str
    name: Name


class MatterRead(TypedDict):
    document: MatterDocument


class Material(TypedDict):
    code: str
    name: Name


class Guide(TypedDict):
    """A personal guide; `digest` freezes it."""

    matter_id: str
    version: int
    answers: dict[str, str]
    digest: str
    materials: list[Material]


class CaseMaterial(TypedDict):
    code: str
    kind: str
    lapsed: NotRequired[bool]


class Missing(TypedDict):
    text: str


class Case(TypedDict):
    id: str
    number: str
    revision: int
    state: str
    result: str | None
    due_on: str
    legal_due_on: str
    applicant_name: str
    applicant_id_number: str
    materials: list[CaseMaterial]
    missing: list[Missing]


class CaseStep(TypedDict):
    act: str


class Light(TypedDict):
    """A warning light (红黄灯) of a case."""

    id: str
    case_id: str
    level: str
    revision: int
    cleared_at: str | None


class License(TypedDict):
    id: str
    number: str
    identifier: str
    check_code: str
    type_code: str
    type_name: Name
    revision: int


class MatchedLicense(TypedDict):
    license_id: str
    number: str
    type_name: Name


class LicenseMatch(TypedDict):
    material_code: str
    licenses: list[MatchedLicense]


class CheckResult(TypedDict):
    result: str


class StatusCode(TypedDict):
    code: str


class LicenseCheck(TypedDict):
    as_of: str
    holder_name: str
    signature: CheckResult
    validity: CheckResult
    status: StatusCode


class LicenseUse(TypedDict):
    case_number: str


class Invitation(TypedDict):
    stage: str


class Rating(TypedDict):
    id: str


class Ticket(TypedDict):
    id: str
    rating_id: str
    text: str
    state: str
    revision: int


class Outcome(TypedDict):
    action: str
    revision: int


class Rectification(TypedDict):
    action: str


class PublishedRating(TypedDict):
    id: str
    name: str
    grade: int
    text: str
    rectification: Rectification


class PublicKey(TypedDict):
    """An Ed25519 key: its id and its `x` as in a JWK."""

    kid: str
    x: str


class Peer(TypedDict):
    id: str
    code: str
    revision: int
    keys: list[PublicKey]


class Reject(TypedDict):
    row: int
    faults: list[Fault]


class Receipt(TypedDict):
    """What a receipt of a batch says; `batch_id` in stage 1, the rest in stage 2."""

    batch_id: str
    accepted: int
    rejected: int
    unchanged: int
    rejects: list[Reject]


class Subscription(TypedDict):
    id: str
    secret: str
    state: str
    cursor: int
    revision: int


class Event(TypedDict):
    id: str


class Reconciliation(TypedDict):
    id: str
    state: str
    equal: bool
    failure: str | None


class RecordDifference(TypedDict):
    key: str
    state: str


class Statement(TypedDict):
    """The signed statement of a reconciliation: the platform's JWS and the peer's."""

    ours: str
    peer: str


class ReportRow(TypedDict):
    area_code: str
    department_code: str
    figures: dict[str, int]


class DailyReport(TypedDict):
    revision: int
    departments: list[ReportRow]
