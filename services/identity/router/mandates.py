"""HTTP in and out of mandates (授权代办), and acting under one."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Form

from services.identity import queries
from services.identity.model import Mandate
from services.identity.router.access import Config, account_id
from services.identity.schemas import ExchangedTokens, GrantMandate, MandateRead, RevokeMandate
from services.identity.use_cases import mandates
from shared import clock
from shared.domain import masking
from shared.errors import ForbiddenError
from shared.http.dependencies import ReadSession, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import VerifiedCitizen, VerifiedPerson
from shared.security.tokens import Caller

router = APIRouter(route_class=IdempotentRoute)


# Waits for nothing and is async all the same: FastAPI hands a plain function to a thread.
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
        "principal_name": mandate.principal_name
        if public
        else masking.mask_name(mandate.principal_name),
        "agent_name": masking.mask_name(mandate.agent_name),
    }


@router.post("/mandates", response_model=MandateRead, status_code=201, dependencies=[Once])
async def grant_mandate(command: GrantMandate, session: Session, caller: Principal) -> Any:
    """授权代办: let a person act for the caller; it holds once she has accepted."""
    principal = account_id(caller.subject)
    return _mandate(
        await mandates.grant_mandate(session, principal, command, clock.now()), principal
    )


@router.get("/mandates", response_model=Page[MandateRead])
async def list_mandates(
    session: ReadSession, caller: Principal, limit: Limit = 50, cursor: Cursor = None
) -> Any:
    """Mandates that the caller gave, and those written for her."""
    account = await queries.get_account(session, account_id(caller.subject))
    after = decode_cursor(cursor, UUID)[0] if cursor else UUID(int=0)
    rows, following = page_of(
        await queries.list_mandates(session, account, after, limit), limit, "id"
    )
    return {"items": [_mandate(row, account.id) for row in rows], "next": following}


@router.post("/mandates/{mandate_id}/acceptance", response_model=MandateRead)
async def accept_mandate(mandate_id: UUID, session: Session, caller: VerifiedPerson) -> Any:
    """The agent takes the mandate on."""
    agent = account_id(caller.subject)
    return _mandate(await mandates.accept_mandate(session, mandate_id, agent, clock.now()), agent)


@router.post("/mandates/{mandate_id}/revocation", response_model=MandateRead)
async def revoke_mandate(
    mandate_id: UUID, command: RevokeMandate, session: Session, caller: Principal
) -> Any:
    """The principal or the agent ends it; the agent's tokens are refused within seconds."""
    own = account_id(caller.subject)
    return _mandate(
        await mandates.revoke_mandate(session, mandate_id, own, command.reason, clock.now()), own
    )


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
    ids = account_id(caller.subject), account_id(caller.session)
    tokens = await mandates.act_under_mandate(session, *ids, subject_token, settings, clock.now())
    return tokens.model_dump()
