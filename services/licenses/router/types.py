"""HTTP in and out of license types."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Response

from services.licenses.model.types import (
    LicenseType,
    LicenseTypeVersion,
    TypeDocument,
    check_type_code,
)
from services.licenses.queries import types
from services.licenses.schemas.types import TypeRead
from services.licenses.use_cases.types import publish_version
from shared.errors import FieldError, InvalidInputError
from shared.http.dependencies import Now, ReadSession, Session
from shared.http.etags import etag, required_version
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import Administrator

router = APIRouter(prefix="/types")
Code = Annotated[str, Path(max_length=40, description="USCC of the defining body and three digits")]


async def _expected(
    if_match: Annotated[
        str | None, Header(description="ETag of the version this one follows; none for the first")
    ] = None,
) -> int | None:
    if if_match is None:
        return None
    return await required_version(if_match)


Expected = Annotated[int | None, Depends(_expected)]


def _show(found: LicenseType | LicenseTypeVersion) -> TypeRead:
    return TypeRead(
        code=found.code,
        version=found.version,
        document=found.document,
        published_at=found.published_at,
    )


@router.get("")
async def list_types(
    session: ReadSession, limit: Limit = 50, cursor: Cursor = None
) -> Page[TypeRead]:
    """证照类型, each in its newest version, in the order of their codes."""
    after = ""
    if cursor:
        after = decode_cursor(cursor, str)[0]
    rows = await types.list_types(session, after=after, limit=limit)
    page, next_cursor = page_of(rows, limit, "code")
    return Page[TypeRead](items=[_show(row) for row in page], next=next_cursor)


@router.get("/{code}")
async def get_type(code: Code, session: ReadSession, response: Response) -> TypeRead:
    """One type in its newest version."""
    found = await types.get_type(session, code)
    response.headers["etag"] = etag(found.version)
    return _show(found)


@router.get("/{code}/versions/{version}")
async def get_type_version(
    code: Code, version: Annotated[int, Path(ge=1, le=2**31 - 1)], session: ReadSession
) -> TypeRead:
    """One type as it was in a version."""
    return _show(await types.get_type_version(session, code, version=version))


@router.put("/{code}")
async def publish_type(
    *,
    code: Code,
    document: TypeDocument,
    session: Session,
    administrator: Administrator,
    expected: Expected,
    now: Now,
    response: Response,
) -> TypeRead:
    """Publish the first version, or with If-Match the next one;
    what is published stays as it is.
    """
    found = await publish_version(
        session,
        _checked_code(code, document),
        document=document,
        expected=expected,
        publisher=administrator.subject,
        now=now,
    )
    response.headers["etag"] = etag(found.version)
    return _show(found)


def _checked_code(text: str, document: TypeDocument) -> str:
    try:
        code = check_type_code(text)
    except ValueError:
        fault = FieldError(
            "code",
            "type_code",
            message="send the defining body's USCC (18 characters) and three digits",
        )
        raise InvalidInputError("no licence type code", [fault]) from None
    if code[:18] != document.defining_body.code:
        fault = FieldError(
            "defining_body.code",
            "type_code",
            message="the type code begins with another body's code",
        )
        raise InvalidInputError("code and body do not fit", [fault])
    return code
