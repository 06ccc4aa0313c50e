"""Commands and answers of identity."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from services.identity.model import (
    AccountKind,
    MandateState,
    SignInMethod,
    SmsPurpose,
    StaffRole,
    SystemScope,
)
from shared import clock
from shared.domain import codes
from shared.fields import Line, Reason

Phone = Annotated[str, Field(max_length=20), AfterValidator(codes.check_phone)]


def _check_id_number(text: str) -> str:
    return codes.check_id_number(text, clock.local_date(clock.now()))


IdNumber = Annotated[str, Field(max_length=18), AfterValidator(_check_id_number)]
SixDigits = Annotated[str, Field(pattern=r"^[0-9]{6}$")]


def _check_listed(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    # Clients know the rule of a value outside a closed list as `literal_error`; pydantic would
    # call it `enum`.
    try:
        return handler(value)
    except ValidationError as error:
        expected: str = error.errors()[0].get("ctx", {}).get("expected", "")
        raise PydanticCustomError(
            "literal_error", "Input should be {expected}", {"expected": expected}
        ) from None


LISTED = WrapValidator(_check_listed)
Role = Annotated[StaffRole, LISTED]
Scope = Annotated[SystemScope, LISTED]
Purpose = Annotated[SmsPurpose, LISTED]
AreaCode = Annotated[str, Field(pattern=r"^[0-9]{12}$")]
DepartmentCode = Annotated[str, Field(pattern=r"^[0-9A-Za-z_.-]{1,40}$")]
Uscc = Annotated[str, Field(max_length=18), AfterValidator(codes.check_uscc)]
AppId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AskSmsCode(Strict):
    phone: Phone
    purpose: Purpose = SmsPurpose.SIGN_IN


class SmsCodeSent(BaseModel):
    """The same whether the number is known or not."""

    expires_in: int


class SmsSignIn(Strict):
    phone: Phone
    code: SixDigits


class MiniProgramSignIn(Strict):
    """The one-time code that the mini-program's platform gave (小程序登录)."""

    app_id: AppId
    code: Annotated[str, Field(min_length=1, max_length=200)]


class BindMiniProgram(Strict):
    """The token of the answer `binding_required`, and a code sent to the phone for `bind`."""

    binding_token: Annotated[str, Field(min_length=1, max_length=1000)]
    phone: Phone
    code: SixDigits


class ActForOrganisation(Strict):
    organisation_id: UUID


class PasswordSignIn(Strict):
    username: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{3,60}$")]
    password: SecretStr = Field(min_length=1, max_length=200)
    totp: SixDigits


class Refresh(Strict):
    refresh_token: Annotated[str, Field(min_length=1, max_length=200)]


class Tokens(BaseModel):
    """An access token of ten minutes and the refresh token that follows it."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the kind of token
    expires_in: int
    refresh_token: str
    refresh_expires_in: int


class SystemTokens(BaseModel):
    """What a bureau's system gets (RFC 6749 §5.1)."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the kind of token
    expires_in: int
    scope: str


class VerifyIdentity(Strict):
    """Name, ID number and one more attribute of the card."""

    name: Line
    id_number: IdNumber
    id_valid_until: date


class VerifyAtCounter(VerifyIdentity):
    """What a window clerk reads from the card of the person at the counter, and why (窗口核验)."""

    phone: Phone
    reason: Reason


class RegisterOrganisation(Strict):
    """An organisation by its unified social credit code (统一社会信用代码) and registered name."""

    uscc: Uscc
    name: Line


class OrganisationRead(BaseModel):
    """An organisation for which the caller may act; both are public by law."""

    id: UUID
    uscc: str
    name: str


class GrantMandate(Strict):
    """To whom, by name and ID number; `matters` by id, at most 20, or null for all;
    the last day.
    """

    agent_name: Line
    agent_id_number: IdNumber
    matters: Annotated[list[UUID], Field(min_length=1, max_length=20)] | None = None
    valid_until: date


MandateSide = Literal["principal", "agent"]


class MandateRead(BaseModel):
    """A mandate as principal or agent sees it; names of persons masked."""

    id: UUID
    role: MandateSide
    state: MandateState
    principal_id: UUID
    principal_name: str
    agent_id: UUID | None
    agent_name: str
    matters: list[UUID] | None
    valid_until: date
    created_at: datetime
    accepted_at: datetime | None
    ended_at: datetime | None
    end_reason: str | None


class RevokeMandate(Strict):
    reason: Reason


class ExchangedTokens(Tokens):
    """RFC 8693 §2.2.1."""

    issued_token_type: Literal["urn:ietf:params:oauth:token-type:access_token"] = (
        "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the type of token
    )


class Verified(BaseModel):
    """Refresh the tokens to carry the new level."""

    level: int


class AccountRead(BaseModel):
    """One's own account, masked; an organisation's name and code are public."""

    id: UUID
    kind: AccountKind
    level: int
    phone: str | None
    name: str | None
    id_number: str | None
    uscc: str | None
    created_at: datetime


class SessionRead(BaseModel):
    """One of the caller's sessions, and for whom it acts, under which mandate."""

    id: UUID
    principal_id: UUID | None
    mandate_id: UUID | None
    signed_in_at: datetime
    amr: list[SignInMethod]
    current: bool


class NewStaff(Strict):
    username: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{3,60}$")]
    name: Line
    area_code: AreaCode
    department_code: DepartmentCode
    roles: list[Role] = Field(min_length=1, max_length=10)


class StaffCreated(BaseModel):
    """Shown once: hand the password and the TOTP secret over in person."""

    id: UUID
    username: str
    initial_password: str
    totp_secret: str


class ChangeStaff(Strict):
    area_code: AreaCode
    department_code: DepartmentCode
    roles: list[Role] = Field(min_length=1, max_length=10)


class StaffRead(BaseModel):
    """A staff member's post; the name masked."""

    id: UUID
    revision: int
    username: str
    name: str
    area_code: str
    department_code: str
    roles: list[StaffRole]
    active: bool


class Departure(Strict):
    reason: Reason


class Withdrawal(Strict):
    reason: Reason


class NewSystem(Strict):
    """A bureau's system: its Ed25519 public key (JWK) signs its client assertions."""

    name: Line
    area_code: AreaCode
    department_code: DepartmentCode
    scopes: list[Scope] = Field(min_length=1, max_length=10)
    public_key: dict[
        Literal["kty", "crv", "x", "kid", "use", "alg"], Annotated[str, Field(max_length=200)]
    ]


class SystemCreated(BaseModel):
    client_id: UUID


class SentMessage(BaseModel):
    """What the development sender sent."""

    sent_at: datetime
    text: str


class PublicKey(BaseModel):
    """An Ed25519 key as a JWK (RFC 8037), in the order in which PostgreSQL keeps it."""

    x: str
    alg: str
    crv: str
    kid: str
    kty: str
    use: str


class JwkSet(BaseModel):
    """The public keys of access tokens (RFC 7517)."""

    keys: list[PublicKey]


class RevocationEntry(BaseModel):
    """A session that ended, or a subject none of whose tokens is valid any more."""

    session: UUID | None
    subject: UUID | None
    at: datetime


class RevocationFeed(BaseModel):
    """`next` is the cursor to ask with the next time."""

    items: list[RevocationEntry]
    next: str
