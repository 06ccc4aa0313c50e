"""The caller: the verified token as a FastAPI dependency, and the rights it gives.

Everything is denied by default. The gateway has verified the token once; every service verifies it
again, so that nothing depends on the network between them.
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from shared import clock, context
from shared.errors import ForbiddenError, StepUpRequiredError, UnauthenticatedError
from shared.security.tokens import Caller, CallerKind, TokenError, TokenVerifier
from shared.texts import Choices


def _bearer(request: Request) -> str | None:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.strip() else None


INVALID_TOKEN = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


def unauthenticated() -> UnauthenticatedError:
    """The refusal of a missing or invalid token."""
    return UnauthenticatedError("send a valid access token", headers=INVALID_TOKEN)


async def _find_caller(request: Request) -> Caller | None:
    token = _bearer(request)
    if token is None:
        if request.headers.get("authorization"):
            raise unauthenticated()
        return None
    verifier: TokenVerifier = request.app.state.verifier
    try:
        caller = await verifier.verify(token, clock.now())
    except TokenError as error:
        raise unauthenticated() from error
    if caller.act:
        context.update(actor=caller.act, on_behalf_of=caller.subject)
    else:
        context.update(actor=caller.subject, on_behalf_of=None)
    return caller


class _TokenScheme(SecurityBase):
    """The security scheme as OpenAPI shows it.

    Scheme and caller are one dependency: each further one costs every request 2 % of its time.
    """

    def __init__(self) -> None:
        self.model = HTTPBearer(description="Access token of the identity service")
        self.scheme_name = "HTTPBearer"


class FindCaller(_TokenScheme):
    """The caller of an endpoint that is public by nature; a token that is sent must hold."""

    async def __call__(self, request: Request) -> Caller | None:
        return await _find_caller(request)


class RequireCaller(_TokenScheme):
    """The caller; 401 without a valid token."""

    async def __call__(self, request: Request) -> Caller:
        caller = await _find_caller(request)
        if caller is None:
            raise unauthenticated()
        return caller


current_caller = RequireCaller()
CurrentCaller = Annotated[Caller, Depends(current_caller)]
"""Whoever holds a valid token."""
MaybeCaller = Annotated[Caller | None, Depends(FindCaller())]
"""For endpoints that are public by nature."""


def with_role(*roles: str) -> Callable[..., Coroutine[Any, Any, Caller]]:
    """Dependency: a staff member with any of `roles`; 403 for others."""

    async def check(caller: CurrentCaller) -> Caller:
        if caller.kind is not CallerKind.STAFF or not set(roles) & set(caller.roles):
            raise ForbiddenError("this needs one of the roles: {roles}", roles=Choices(roles))
        return caller

    return check


def with_scope(scope: str) -> Callable[..., Coroutine[Any, Any, Caller]]:
    """Dependency: a bureau's system with `scope`; 403 for others."""

    async def check(caller: CurrentCaller) -> Caller:
        if caller.kind is not CallerKind.SYSTEM or scope not in caller.scopes:
            raise ForbiddenError("this needs a system with the scope {scope}", scope=scope)
        return caller

    return check


def with_assurance(level: int, *kinds: CallerKind) -> Callable[..., Coroutine[Any, Any, Caller]]:
    """Dependency: a caller of `kinds` (default: persons and organisations), signed in at `level`.

    1 is by phone, 2 with the real name, 3 with the card seen at a counter. For an organisation it
    is the level of the person who acts. A lower level gets a step-up challenge.
    """
    allowed = kinds or (CallerKind.PERSON, CallerKind.ORGANISATION)

    async def check(caller: CurrentCaller) -> Caller:
        if caller.kind not in allowed:
            raise ForbiddenError("this is for accounts of the kind {kinds}", kinds=Choices(allowed))
        if caller.acr < level:
            challenge = f'Bearer error="insufficient_user_authentication", acr_values="{level}"'
            raise StepUpRequiredError(
                "verify your identity to level {level} first",
                level=level,
                extra={"acr_values": str(level)},
                headers={"WWW-Authenticate": challenge},
            )
        return caller

    return check


def herself(level: int) -> Callable[..., Coroutine[Any, Any, Caller]]:
    """Dependency: a natural person at `level`, and nobody who acts for her."""

    async def check(
        caller: Annotated[Caller, Depends(with_assurance(level, CallerKind.PERSON))],
    ) -> Caller:
        if caller.act is not None:
            raise ForbiddenError("only the person herself may do this")
        return caller

    return check


Citizen = Annotated[Caller, Depends(with_assurance(1))]
"""A person or organisation, at least signed in by phone."""
VerifiedCitizen = Annotated[Caller, Depends(with_assurance(2))]
"""A person or organisation whose real name is verified (L2)."""
Person = Annotated[Caller, Depends(herself(1))]
"""A natural person acting for herself."""
VerifiedPerson = Annotated[Caller, Depends(herself(2))]
"""A natural person acting for herself, whose real name is verified (L2)."""
Administrator = Annotated[Caller, Depends(with_role("administrator"))]
"""Runs the platform; sees no more personal data for it."""
