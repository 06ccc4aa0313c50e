"""What endpoints that take applications need."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from services.cases.applications.use_cases.numbers import Numbers
from shared.errors import FieldError, ForbiddenError, InvalidInputError, StepUpRequiredError
from shared.security.tokens import Caller


async def _numbers(request: Request) -> Numbers:
    return request.app.state.numbers


CaseNumbers = Annotated[Numbers, Depends(_numbers)]


def applicant_account(
    caller: Caller, channel: str, *matters: UUID
) -> tuple[UUID | None, str | None]:
    """Who applies: a verified citizen for herself, a window clerk on behalf of somebody (then without account)."""
    if caller.kind == "staff":
        if "window_clerk" not in caller.roles or channel != "window":
            raise ForbiddenError("staff take in applications at a window, as window clerks")
        return None, caller.subject
    if caller.kind not in {"person", "organisation"}:
        raise ForbiddenError("this is for persons and organisations")
    if not all(caller.covers(matter) for matter in matters):
        raise ForbiddenError("the mandate is not for this matter")
    if caller.acr < 2:
        challenge = 'Bearer error="insufficient_user_authentication", acr_values="2"'
        raise StepUpRequiredError(
            "verify your identity first", headers={"WWW-Authenticate": challenge}
        )
    if channel == "window":
        fault = FieldError(
            "channel", "own_channel", "applications at a window are taken in by its clerk"
        )
        raise InvalidInputError("the channel does not fit", [fault])
    return UUID(caller.subject), None
