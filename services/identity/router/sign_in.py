"""HTTP in and out of signing in: codes, sessions of persons, staff, organisations and systems."""

from typing import Annotated, Literal

from fastapi import APIRouter, Form

from services.identity.router.access import Address, Config, MiniPrograms, account_id
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
from shared.http.dependencies import Db, Now, Session
from shared.http.idempotency import IdempotentRoute
from shared.security.auth import VerifiedPerson

router = APIRouter(route_class=IdempotentRoute)
TOKEN_URL = "/api/v1/identity/oauth/token"  # noqa: S105 - a path


@router.post("/sms-codes", status_code=202)
async def send_sms_code(
    command: AskSmsCode, session: Session, settings: Config, address: Address, now: Now
) -> SmsCodeSent:
    """Send a code to a phone, good for one purpose."""
    seconds = await sms.send_sms_code(session, command, address=address, settings=settings, now=now)
    return SmsCodeSent(expires_in=seconds)


@router.post("/sessions/sms")
async def sign_in_by_sms(command: SmsSignIn, database: Db, settings: Config, now: Now) -> Tokens:
    """Sign in with the code; registers at the first time."""
    return await sign_in.sign_in_by_sms(database, command, settings=settings, now=now)


@router.post("/sessions/password")
async def sign_in_by_password(
    command: PasswordSignIn, database: Db, settings: Config, address: Address, now: Now
) -> Tokens:
    """Staff sign in with password and TOTP."""
    return await sign_in.sign_in_by_password(
        database, command, address=address, settings=settings, now=now
    )


@router.post("/sessions/mini-program")
async def sign_in_by_mini_program(
    command: MiniProgramSignIn,
    database: Db,
    settings: Config,
    provider: MiniPrograms,
    now: Now,
) -> Tokens:
    """Sign in from a mini-program.

    409 `binding_required` with a `binding_token` when no account knows the user.
    """
    return await sign_in.sign_in_by_mini_program(
        database, command, provider=provider, settings=settings, now=now
    )


@router.post("/sessions/mini-program/binding")
async def bind_mini_program(
    command: BindMiniProgram, database: Db, settings: Config, now: Now
) -> Tokens:
    """Bind the mini-program's user to the account of a phone, and sign in."""
    return await sign_in.bind_mini_program(database, command, settings=settings, now=now)


@router.post("/sessions/organisation")
async def act_for_organisation(
    command: ActForOrganisation,
    session: Session,
    settings: Config,
    caller: VerifiedPerson,
    now: Now,
) -> Tokens:
    """Act for one's own organisation: tokens with it as subject and the person as `act`."""
    return await organisations.act_for_organisation(
        session,
        command.organisation_id,
        person_id=account_id(caller.subject),
        parent_id=account_id(caller.session),
        settings=settings,
        now=now,
    )


@router.post("/sessions/refresh")
async def refresh_session(command: Refresh, database: Db, settings: Config, now: Now) -> Tokens:
    """The next pair of tokens."""
    return await sessions.refresh_session(
        database, command.refresh_token, settings=settings, now=now
    )


@router.post("/oauth/token")
async def sign_in_system(
    *,
    session: Session,
    settings: Config,
    now: Now,
    grant_type: Annotated[Literal["client_credentials"], Form()],
    client_assertion_type: Annotated[
        Literal["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"], Form()
    ],
    client_assertion: Annotated[str, Form(max_length=4096)],
    scope: Annotated[str, Form(max_length=200)] = "",
) -> SystemTokens:
    """A bureau's system gets a token by `private_key_jwt`;
    the assertion's audience is this path.
    """
    _ = (grant_type, client_assertion_type)
    return await systems.sign_in_system(
        session, client_assertion, scope=scope, token_url=TOKEN_URL, settings=settings, now=now
    )
