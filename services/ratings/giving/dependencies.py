"""Who sends a rating, and the idempotency of sending one."""

import hashlib
from typing import Annotated

from fastapi import Depends, Header, Request
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.access import Config
from services.ratings.invitations.credentials.attempt import Rater
from services.ratings.rating.schemas import SubmitRating
from shared.errors import FieldError, InvalidInputError
from shared.http.client_address import client_address
from shared.http.idempotency import MAX_KEY, Claim
from shared.security.auth import MaybeCaller


async def find_rater(request: Request, caller: MaybeCaller, settings: Config) -> Rater:
    return Rater(caller, client_address(request, trust_gateway=settings.trust_gateway))


CurrentRater = Annotated[Rater, Depends(find_rater)]

OptionalKey = Annotated[
    str | None, Header(description="Optional: a rating has its natural key in what it rates")
]
"""The header `Idempotency-Key`, as the parameter `idempotency_key`."""


async def claim_key(
    request: Request,
    session: AsyncSession,
    *,
    command: SubmitRating,
    rater: Rater,
    key: str | None,
) -> None:
    """Claim the key as `shared.http.idempotency.claim_key` does.

    It differs where the sender has no account: then the token stands for the sender.
    """
    # A rating is unique by its invitation: a repetition is recognised without a key.
    if key is None:
        return
    if not 0 < len(key) <= MAX_KEY or not key.isprintable():
        error = FieldError(
            "Idempotency-Key",
            "form",
            message="1 to {limit} printable characters, or none",
            limit=MAX_KEY,
        )
        raise InvalidInputError("the Idempotency-Key has faults", [error])
    # The hash, because the key of the table must not hold a token in clear.
    sender = "token/" + hashlib.sha256((command.token or "").encode()).hexdigest()
    if rater.caller is not None:
        sender = rater.caller.subject
    claim = Claim(session, sender, key=key)
    # The checked command, not the bytes of the body: spaces and the order of keys do not count.
    await claim.take(hashlib.sha256(command.model_dump_json().encode()).digest())
    # The route stores the answer under the claim.
    request.state.claim = claim
