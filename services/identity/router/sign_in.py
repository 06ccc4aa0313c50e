"""HTTP in and out of signing in: codes, sessions of persons, staff, organisations and systems."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form

from services.identity.router.access import Address, Config, Db, MiniPrograms, account_id
from services.identity.schemas import (
    ActForOrganisation,
    AskSmsCode,
    BindMiniProgram,
    MiniProgramSignIn,
    PasswordSignIn,
    Refresh,
    SmsCodeSent,
    SmsSignIn,
    SystemTokens,
    Tokens,
)
from services.identity.use_cases import organisations, sessions, sign_in, sms, systems
from shared import clock
from shared.http.dependencies import Session
from shared.http.idempotency import IdempotentRoute
from shared.security.auth import VerifiedPerson

router = APIRouter(route_class=IdempotentRoute)
TOKEN_URL = "/api/v1/identity/oauth/token"  # noqa: S105 - a path


@router.post("/sms-codes", response_model=SmsCodeSent, status_code=202)
async def send_sms_code(
    command: AskSmsCode, session: Session, settings: Config, address: Address
) -> Any:
    """Send a code to a phone, good for one purpose."""
    return {"expires_in": await sms.send_sms_code(session, command, address, settings, clock.now())}


@router.post("/sessions/sms", response_model=Tokens)
async def sign_in_by_sms(command: SmsSignIn, database: Db, settings: Config) -> Any:
    """Sign in with the code; registers at the first time."""
    return await sign_in.sign_in_by_sms(database, command, settings, clock.now())


@router.post("/sessions/password", response_model=Tokens)
async def sign_in_by_password(
    command: PasswordSignIn, database: Db, settings: Config, address: Address
) -> Any:
    """Staff sign in with password and TOTP."""
    return await sign_in.sign_in_by_password(database, command, address, settings, clock.now())


@router.post("/sessions/mini-program", response_model=Tokens)
async def sign_in_by_mini_program(
    command: MiniProgramSignIn, database: Db, settings: Config, provider: MiniPrograms
) -> Any:
    """Sign in from a mini-program; 409 `binding_required` with a `binding_token` when no account knows the user."""
    return await sign_in.sign_in_by_mini_program(database, command, provider, settings, clock.now())


@router.post("/sessions/mini-program/binding", response_model=Tokens)
async def bind_mini_program(command: BindMiniProgram, database: Db, settings: Config) -> Any:
    """Join the mini-program's user to the account of a phone, and sign in."""
    return await sign_in.bind_mini_program(database, command, settings, clock.now())


@router.post("/sessions/organisation", response_model=Tokens)
async def act_for_organisation(
    command: ActForOrganisation, session: Session, settings: Config, caller: VerifiedPerson
) -> Any:
    """Act for an organisation of one's own: tokens with the organisation as subject and the person as `act`."""
    ids = account_id(caller.subject), account_id(caller.session)
    return await organisations.act_for_organisation(
        session, *ids, command.organisation_id, settings, clock.now()
    )


@router.post("/sessions/refresh", response_model=Tokens)
async def refresh_session(command: Refresh, database: Db, settings: Config) -> Any:
    """The next pair of tokens."""
    return await sessions.refresh_session(database, command.refresh_token, settings, clock.now())


@router.post("/oauth/token", response_model=SystemTokens)
async def sign_in_system(
    session: Session,
    settings: Config,
    grant_type: Annotated[Literal["client_credentials"], Form()],
    client_assertion_type: Annotated[
        Literal["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"], Form()
    ],
    client_assertion: Annotated[str, Form(max_length=4096)],
    scope: Annotated[str, Form(max_length=200)] = "",
) -> Any:
    """A bureau's system gets a token by `private_key_jwt`; the assertion's audience is this path."""
    _ = (grant_type, client_assertion_type)
    return await systems.sign_in_system(
        session, client_assertion, scope, TOKEN_URL, settings, clock.now()
    )
