"""HTTP in and out of identity."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Query, Request, Response

from services.identity import queries, use_cases
from services.identity.model import Mandate
from services.identity.providers import (
    MiniProgramProvider,
    MiniProgramSimulator,
    OrganisationProvider,
    OrganisationSimulator,
    RealNameProvider,
    RealNameSimulator,
)
from services.identity.schemas import (
    AccountRead,
    ActForOrganisation,
    AskSmsCode,
    BindMiniProgram,
    ChangeStaff,
    Departure,
    ExchangedTokens,
    GrantMandate,
    JwkSet,
    MandateRead,
    MiniProgramSignIn,
    NewStaff,
    NewSystem,
    OrganisationRead,
    PasswordSignIn,
    Phone,
    Refresh,
    RegisterOrganisation,
    RevocationFeed,
    RevokeMandate,
    SentMessage,
    SessionRead,
    SmsCodeSent,
    SmsSignIn,
    StaffCreated,
    StaffRead,
    SystemCreated,
    SystemTokens,
    Tokens,
    Verified,
    VerifyAtCounter,
    VerifyIdentity,
    Withdrawal,
)
from services.identity.settings import Settings
from shared import clock, masking
from shared.addresses import client_address
from shared.auth import Administrator, CurrentCaller, Person, VerifiedCitizen, VerifiedPerson, with_role
from shared.crypto import lookup_hash
from shared.db import Database, ReadSession, Session
from shared.errors import ForbiddenError, NotFoundError, UnavailableError
from shared.etags import IfMatch, etag
from shared.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.tokens import Caller

router = APIRouter(prefix="/api/v1/identity", tags=["identity"], route_class=IdempotentRoute)
internal = APIRouter(prefix="/internal", include_in_schema=False)
TOKEN_URL = "/api/v1/identity/oauth/token"  # noqa: S105 - a path


# These wait for nothing and are async all the same: FastAPI hands a plain function to a thread.
async def _settings(request: Request) -> Settings:
    return request.app.state.settings


async def _database(request: Request) -> Database:
    return request.app.state.database


async def _address(request: Request, settings: Annotated[Settings, Depends(_settings)]) -> str:
    return client_address(request, trust_gateway=settings.trust_gateway)


Config = Annotated[Settings, Depends(_settings)]
Db = Annotated[Database, Depends(_database)]
Address = Annotated[str, Depends(_address)]
WindowClerk = Annotated[Caller, Depends(with_role("window_clerk"))]


def _simulated(simulator: Any) -> Any:
    """A simulator believes everybody, so it answers in development alone; production connects the real one here."""

    async def provide(settings: Config) -> Any:
        if not settings.development:
            raise UnavailableError("no such verification is connected here")
        return simulator

    return Depends(provide)


RealName = Annotated[RealNameProvider, _simulated(RealNameSimulator())]
Register = Annotated[OrganisationProvider, _simulated(OrganisationSimulator())]
MiniPrograms = Annotated[MiniProgramProvider, _simulated(MiniProgramSimulator())]


@router.post("/sms-codes", response_model=SmsCodeSent, status_code=202)
async def send_sms_code(command: AskSmsCode, session: Session, settings: Config, address: Address) -> Any:
    """Send a code to a phone, good for one purpose."""
    return {"expires_in": await use_cases.send_sms_code(session, command, address, settings, clock.now())}


@router.post("/sessions/sms", response_model=Tokens)
async def sign_in_by_sms(command: SmsSignIn, database: Db, settings: Config) -> Any:
    """Sign in with the code; registers at the first time."""
    return await use_cases.sign_in_by_sms(database, command, settings, clock.now())


@router.post("/sessions/password", response_model=Tokens)
async def sign_in_by_password(command: PasswordSignIn, database: Db, settings: Config, address: Address) -> Any:
    """Staff sign in with password and TOTP."""
    return await use_cases.sign_in_by_password(database, command, address, settings, clock.now())


@router.post("/sessions/mini-program", response_model=Tokens)
async def sign_in_by_mini_program(
    command: MiniProgramSignIn, database: Db, settings: Config, provider: MiniPrograms
) -> Any:
    """Sign in from a mini-program; 409 `binding_required` with a `binding_token` when no account knows the user."""
    return await use_cases.sign_in_by_mini_program(database, command, provider, settings, clock.now())


@router.post("/sessions/mini-program/binding", response_model=Tokens)
async def bind_mini_program(command: BindMiniProgram, database: Db, settings: Config) -> Any:
    """Join the mini-program's user to the account of a phone, and sign in."""
    return await use_cases.bind_mini_program(database, command, settings, clock.now())


@router.post("/sessions/organisation", response_model=Tokens)
async def act_for_organisation(
    command: ActForOrganisation, session: Session, settings: Config, caller: VerifiedPerson
) -> Any:
    """Act for an organisation of one's own: tokens with the organisation as subject and the person as `act`."""
    ids = _account_id(caller.subject), _account_id(caller.session)
    return await use_cases.act_for_organisation(session, *ids, command.organisation_id, settings, clock.now())


@router.post("/sessions/refresh", response_model=Tokens)
async def refresh_session(command: Refresh, database: Db, settings: Config) -> Any:
    """The next pair of tokens."""
    return await use_cases.refresh_session(database, command.refresh_token, settings, clock.now())


@router.get("/sessions", response_model=list[SessionRead])
async def list_sessions(session: ReadSession, caller: CurrentCaller) -> Any:
    """The open sessions of the person who acts."""
    rows = await queries.list_sessions(session, _own_id(caller), clock.now())
    names = ("id", "principal_id", "mandate_id", "signed_in_at", "amr")
    return [{**{name: getattr(r, name) for name in names}, "current": str(r.id) == caller.session} for r in rows]


def _account_id(subject: str) -> UUID:
    try:
        return UUID(subject)
    except ValueError:
        raise NotFoundError("no such account") from None


def _own_id(caller: Caller) -> UUID:
    """The account that signed in, also while it acts for another."""
    return _account_id(caller.act or caller.subject)


@router.delete("/sessions", status_code=204)
async def sign_out_everywhere(session: Session, caller: CurrentCaller) -> None:
    """End every session of the person who acts, this one too."""
    _ = await use_cases.end_sessions(session, _own_id(caller), "signed out everywhere", clock.now())


@router.delete("/sessions/current", status_code=204)
async def sign_out(session: Session, caller: CurrentCaller) -> None:
    """End the session of this token and those opened from it; the gateway refuses them within seconds."""
    _ = await use_cases.end_session(session, _own_id(caller), _account_id(caller.session), clock.now())


@router.delete("/sessions/{session_id}", status_code=204)
async def end_session(session_id: UUID, session: Session, caller: CurrentCaller) -> None:
    """End one of the caller's sessions."""
    if not await use_cases.end_session(session, _own_id(caller), session_id, clock.now()):
        raise NotFoundError("no such session of yours")


@router.post("/verifications", response_model=Verified)
async def verify_identity(command: VerifyIdentity, session: Session, caller: Person, provider: RealName) -> Any:
    """Prove the real name (level 2); refresh the tokens afterwards."""
    account = _account_id(caller.subject)
    return {"level": await use_cases.verify_identity(session, account, command, provider, clock.now())}


@router.post("/counter-verifications", response_model=Verified)
async def verify_at_counter(command: VerifyAtCounter, session: Session, _clerk: WindowClerk, provider: RealName) -> Any:
    """A window clerk saw the person with the card (level 3); the person's next tokens carry it."""
    return {"level": await use_cases.verify_at_counter(session, command, provider, clock.now())}


@router.post("/organisations", response_model=OrganisationRead, status_code=201, dependencies=[Once])
async def register_organisation(
    command: RegisterOrganisation, session: Session, caller: VerifiedPerson, provider: Register
) -> Any:
    """Register an organisation as its legal representative; a new one takes the former's place."""
    person = _account_id(caller.subject)
    return await use_cases.register_organisation(session, person, command, provider, clock.now())


@router.get("/organisations", response_model=list[OrganisationRead])
async def list_organisations(session: ReadSession, caller: Person) -> Any:
    """The organisations for which the caller may act."""
    return await queries.list_organisations(session, _account_id(caller.subject))


@router.delete("/organisations/{organisation_id}/link", status_code=204)
async def leave_organisation(organisation_id: UUID, session: Session, caller: Person) -> None:
    """Act for this organisation no more; sessions opened for it end at once."""
    await use_cases.leave_organisation(session, organisation_id, _account_id(caller.subject), clock.now())


# Waits for nothing and is async all the same, as above.
async def _principal(caller: VerifiedCitizen) -> Caller:
    """Who may give a mandate: a person herself, an organisation through its representative, never an agent."""
    if caller.mandate is not None or (caller.kind == "person" and caller.act is not None):
        raise ForbiddenError("an agent gives no mandates")
    return caller


Principal = Annotated[Caller, Depends(_principal)]


def _mandate(mandate: Mandate, viewer: UUID) -> dict[str, Any]:
    public = mandate.principal_kind == "organisation"
    names = (
        "id",
        "principal_id",
        "agent_id",
        "matters",
        "valid_until",
        "created_at",
        "accepted_at",
        "ended_at",
        "end_reason",
    )
    return {
        **{name: getattr(mandate, name) for name in names},
        "role": "principal" if mandate.principal_id == viewer else "agent",
        "state": mandate.state(clock.now()),
        "principal_name": mandate.principal_name if public else masking.mask_name(mandate.principal_name),
        "agent_name": masking.mask_name(mandate.agent_name),
    }


@router.post("/mandates", response_model=MandateRead, status_code=201, dependencies=[Once])
async def grant_mandate(command: GrantMandate, session: Session, caller: Principal) -> Any:
    """授权代办: let a person act for the caller; it holds once she has accepted."""
    principal = _account_id(caller.subject)
    return _mandate(await use_cases.grant_mandate(session, principal, command, clock.now()), principal)


@router.get("/mandates", response_model=Page[MandateRead])
async def list_mandates(session: ReadSession, caller: Principal, limit: Limit = 50, cursor: Cursor = None) -> Any:
    """Mandates that the caller gave, and those written for her."""
    account = await queries.get_account(session, _account_id(caller.subject))
    after = decode_cursor(cursor, UUID)[0] if cursor else UUID(int=0)
    rows, following = page_of(await queries.list_mandates(session, account, after, limit), limit, "id")
    return {"items": [_mandate(row, account.id) for row in rows], "next": following}


@router.post("/mandates/{mandate_id}/acceptance", response_model=MandateRead)
async def accept_mandate(mandate_id: UUID, session: Session, caller: VerifiedPerson) -> Any:
    """The agent takes the mandate on."""
    agent = _account_id(caller.subject)
    return _mandate(await use_cases.accept_mandate(session, mandate_id, agent, clock.now()), agent)


@router.post("/mandates/{mandate_id}/revocation", response_model=MandateRead)
async def revoke_mandate(mandate_id: UUID, command: RevokeMandate, session: Session, caller: Principal) -> Any:
    """The principal or the agent ends it; the agent's tokens are refused within seconds."""
    own = _account_id(caller.subject)
    return _mandate(await use_cases.revoke_mandate(session, mandate_id, own, command.reason, clock.now()), own)


@router.post("/oauth/token-exchange", response_model=ExchangedTokens)
async def act_under_mandate(
    session: Session,
    settings: Config,
    caller: VerifiedPerson,
    grant_type: Annotated[Literal["urn:ietf:params:oauth:grant-type:token-exchange"], Form()],
    subject_token: Annotated[UUID, Form(description="The id of the mandate")],
    subject_token_type: Annotated[Literal["urn:tongban:params:oauth:token-type:mandate"], Form()],
) -> Any:
    """Token exchange (RFC 8693): the agent, who is the bearer, gets tokens with the principal as `sub` and herself as `act`."""
    _ = (grant_type, subject_token_type)
    ids = _account_id(caller.subject), _account_id(caller.session)
    tokens = await use_cases.act_under_mandate(session, *ids, subject_token, settings, clock.now())
    return tokens.model_dump()


@router.get("/account", response_model=AccountRead)
async def get_account(session: ReadSession, caller: CurrentCaller) -> Any:
    """One's own account, masked."""
    account = await queries.get_account(session, _account_id(caller.subject))
    public = account.kind == "organisation"
    return {
        "id": account.id,
        "kind": account.kind,
        "level": account.level,
        "phone": account.phone and masking.mask_phone(account.phone),
        "name": account.name if public else account.name and masking.mask_name(account.name),
        "id_number": account.id_number and masking.mask_id_number(account.id_number),
        "uscc": account.uscc,
        "created_at": account.created_at,
    }


@router.get("/account/export", response_model=AccountRead)
async def export_account(session: ReadSession, caller: Person) -> Any:
    """One's own data in full, for the subject alone (个人信息保护法 art. 45)."""
    account = await queries.get_account(session, _account_id(caller.subject))
    return {name: getattr(account, name) for name in AccountRead.model_fields}


@router.get("/jwks", response_model=JwkSet)
async def get_jwks(session: Session, response: Response) -> Any:
    """The public keys of access tokens."""
    response.headers["cache-control"] = "public, max-age=5"
    return {"keys": await use_cases.list_keys(session, clock.now())}


@router.post("/oauth/token", response_model=SystemTokens)
async def sign_in_system(
    session: Session,
    settings: Config,
    grant_type: Annotated[Literal["client_credentials"], Form()],
    client_assertion_type: Annotated[Literal["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"], Form()],
    client_assertion: Annotated[str, Form(max_length=4096)],
    scope: Annotated[str, Form(max_length=200)] = "",
) -> Any:
    """A bureau's system gets a token by `private_key_jwt`; the assertion's audience is this path."""
    _ = (grant_type, client_assertion_type)
    return await use_cases.sign_in_system(session, client_assertion, scope, TOKEN_URL, settings, clock.now())


@router.post("/staff", response_model=StaffCreated, status_code=201, dependencies=[Once])
async def create_staff(command: NewStaff, session: Session, _administrator: Administrator) -> Any:
    """A staff member; password and TOTP secret are shown this once."""
    return await use_cases.create_staff(session, command, clock.now())


def _staff(account: Any) -> dict[str, Any]:
    names = ("id", "revision", "username", "area_code", "department_code", "roles", "active")
    return {**{name: getattr(account, name) for name in names}, "name": masking.mask_name(account.name or "")}


@router.get("/staff", response_model=Page[StaffRead])
async def list_staff(
    session: ReadSession, _administrator: Administrator, limit: Limit = 50, cursor: Cursor = None
) -> Any:
    """All staff, page by page."""
    after = decode_cursor(cursor, UUID)[0] if cursor else UUID(int=0)
    rows, following = page_of(await queries.list_staff(session, after, limit), limit, "id")
    return {"items": [_staff(row) for row in rows], "next": following}


@router.patch("/staff/{account_id}", response_model=StaffRead)
async def change_staff(
    account_id: UUID,
    command: ChangeStaff,
    session: Session,
    _administrator: Administrator,
    expected: IfMatch,
    response: Response,
) -> Any:
    """Another area, department or set of roles; open sessions end."""
    account = await use_cases.change_staff(session, account_id, command, expected, clock.now())
    response.headers["etag"] = etag(account.revision)
    return _staff(account)


@router.post("/staff/{account_id}/departure", response_model=StaffRead)
async def depart_staff(account_id: UUID, command: Departure, session: Session, _administrator: Administrator) -> Any:
    """Has left: sessions end at once."""
    return _staff(await use_cases.depart_staff(session, account_id, command.reason, clock.now()))


@router.post("/systems", response_model=SystemCreated, status_code=201, dependencies=[Once])
async def register_system(command: NewSystem, session: Session, _administrator: Administrator) -> Any:
    """A bureau's system."""
    return {"client_id": await use_cases.register_system(session, command, clock.now())}


@router.post("/systems/{account_id}/withdrawal", status_code=204)
async def withdraw_system(
    account_id: UUID, command: Withdrawal, session: Session, _administrator: Administrator
) -> None:
    """The system shall act no more; its tokens are refused within seconds."""
    await use_cases.withdraw_system(session, account_id, command.reason, clock.now())


@router.post("/signing-keys/rotation", status_code=204)
async def rotate_keys(session: Session, _administrator: Administrator) -> None:
    """The next key signs from now on."""
    await use_cases.rotate_keys(session, clock.now())


@router.get("/development/sms-messages", response_model=list[SentMessage])
async def list_sms_messages(
    session: ReadSession, settings: Config, _administrator: Administrator, phone: Annotated[Phone, Query()]
) -> Any:
    """What the development sender sent to a number; 404 in production."""
    if not settings.development:
        raise NotFoundError("only in development")
    rows = await queries.list_messages(session, lookup_hash(phone, "phone"))
    return [{"sent_at": row.sent_at, "text": row.text} for row in rows]


@internal.get("/revocations", response_model=RevocationFeed)
async def list_revocations(session: ReadSession, after: Annotated[int, Query(ge=0, le=2**62)] = 0) -> Any:
    """Sessions that ended early and withdrawn subjects, for gateways; not reachable from outside."""
    rows = await queries.list_revocations(session, after, clock.now())
    return {
        "items": [{"session": row.session_id, "subject": row.subject, "at": row.at} for row in rows],
        "next": str(rows[-1].position if rows else after),
    }
