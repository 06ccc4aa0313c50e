"""ETag and If-Match: a change of a shared record names the version it was decided on."""

from typing import Annotated

from fastapi import Depends, Header

from shared.errors import (
    FieldError,
    InvalidInputError,
    PreconditionFailedError,
    PreconditionRequiredError,
)


def etag(version: int) -> str:
    return f'"{version}"'


async def required_version(
    if_match: Annotated[str | None, Header(description='ETag read before, as `"3"`')] = None,
) -> int:
    """The version in `If-Match`: 428 when missing, 400 when it is no ETag of ours."""
    if if_match is None:
        raise PreconditionRequiredError("read the record first and send its ETag in If-Match")
    text = if_match.strip()
    if (
        len(text) < 3
        or text[0] != '"'
        or text[-1] != '"'
        or not text[1:-1].isascii()
        or not text[1:-1].isdigit()
    ):
        raise InvalidInputError(
            "If-Match is no ETag of ours",
            [FieldError("If-Match", "etag", message='send it as "3"')],
        )
    return int(text[1:-1]) if len(text) <= 12 else -1


IfMatch = Annotated[int, Depends(required_version)]


def check_version(current: int, *, expected: int) -> None:
    """412 when the record has changed since it was read."""
    if current != expected:
        raise PreconditionFailedError(
            "it is at version {current} now; read it again and repeat",
            current=current,
            extra={"current_version": current},
        )
