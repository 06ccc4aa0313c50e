"""HTTP in and out of mandates (授权代办), and acting under one."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Form

from services.identity import queries
from services.identity.model import AccountKind, Mandate
from services.identity.router.access import Config, account_id, after_id
from services.identity.schemas import (
    ExchangedTokens,
    GrantMandate,
    MandateRead,
    MandateSide,
    RevokeMandate,
)
from services.identity.use_cases import mandates
from shared.domain import masking
from shared.errors import ForbiddenError
from shared.http.dependencies import Now, ReadSession, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, page_of
from shared.security.auth import VerifiedCitizen, VerifiedPerson
from shared.security.tokens import Caller, CallerKind

router = APIRouter(route_class=IdempotentRoute)


# Waits for nothing and is async all the same: FastAPI hands a plain function to a thread.
async def _principal(caller: VerifiedCitizen) -> Caller:
    """Who may give a mandate: a person or an organisation's representative, never an agent."""
    is_agent = caller.kind is CallerKind.PERSON and caller.act is not None
    if caller.mandate is not None or is_agent:
        raise ForbiddenError("an agent gives no mandates")
    return caller


Principal = Annotated[Caller, Depends(_principal)]


def _show(mandate: Mandate, viewer: UUID, *, now: datetime) -> MandateRead:
    """The mandate with the names of persons masked."""
    role: MandateSide = "agent"
    if mandate.principal_id == viewer:
        role = "principal"
    principal_name = mandate.principal_name
    if mandate.principal_kind is not AccountKind.ORGANISATION:
        principal_name = masking.mask_name(principal_name)
    return MandateRead(
        id=mandate.id,
        role=role,
        state=mandate.state(now),
        principal_id=mandate.principal_id,
        principal_name=principal_name,
        agent_id=mandate.agent_id,
        agent_name=masking.mask_name(mandate.agent_name),
        matters=mandate.matters,
        valid_until=mandate.valid_until,
        created_at=mandate.created_at,
        accepted_at=mandate.accepted_at,
        ended_at=mandate.ended_at,
        end_reason=mandate.end_reason,
    )


@router.post("/mandates", status_code=201, dependencies=[Once])
async def grant_mandate(
    command: GrantMandate, session: Session, caller: Principal, now: Now
) -> MandateRead:
    """授权代办: let a person act for the caller; it is valid once that person has accepted."""
    principal = account_id(caller.subject)
    mandate = await mandates.grant_mandate(session, principal, command=command, now=now)
    return _show(mandate, principal, now=now)


@router.get("/mandates")
async def list_mandates(
    session: ReadSession, caller: Principal, now: Now, limit: Limit = 50, cursor: Cursor = None
) -> Page[MandateRead]:
    """Mandates that the caller gave, and those written for the caller."""
    account = await queries.get_account(session, account_id(caller.subject))
    rows = await queries.list_mandates(session, account, after=after_id(cursor), limit=limit)
    page, next_cursor = page_of(rows, limit, "id")
    items = [_show(mandate, account.id, now=now) for mandate in page]
    return Page[MandateRead](items=items, next=next_cursor)


@router.post("/mandates/{mandate_id}/acceptance")
async def accept_mandate(
    mandate_id: UUID, session: Session, caller: VerifiedPerson, now: Now
) -> MandateRead:
    """The agent takes the mandate on."""
    agent = account_id(caller.subject)
    mandate = await mandates.accept_mandate(session, mandate_id, agent_id=agent, now=now)
    return _show(mandate, agent, now=now)


@router.post("/mandates/{mandate_id}/revocation")
async def revoke_mandate(
    mandate_id: UUID, command: RevokeMandate, session: Session, caller: Principal, now: Now
) -> MandateRead:
    """The principal or the agent ends it; the agent's tokens are refused within seconds."""
    own = account_id(caller.subject)
    mandate = await mandates.revoke_mandate(
        session, mandate_id, account_id=own, reason=command.reason, now=now
    )
    return _show(mandate, own, now=now)


@router.post("/oauth/token-exchange")
async def act_under_mandate(
    *,
    session: Session,
    settings: Config,
    caller: VerifiedPerson,
    now: Now,
    grant_type: Annotated[Literal["urn:ietf:params:oauth:grant-type:token-exchange"], Form()],
    subject_token: Annotated[UUID, Form(description="The id of the mandate")],
    subject_token_type: Annotated[Literal["urn:tongban:params:oauth:token-type:mandate"], Form()],
) -> ExchangedTokens:
    """Token exchange (RFC 8693): the bearer is the agent.

    The tokens have the principal as `sub` and the agent as `act`.
    """
    _ = (grant_type, subject_token_type)
    tokens = await mandates.act_under_mandate(
        session,
        subject_token,
        agent_id=account_id(caller.subject),
        parent_id=account_id(caller.session),
        settings=settings,
        now=now,
    )
    return ExchangedTokens(
        access_token=tokens.access_token,
        expires_in=tokens.expires_in,
        refresh_token=tokens.refresh_token,
        refresh_expires_in=tokens.refresh_expires_in,
    )
