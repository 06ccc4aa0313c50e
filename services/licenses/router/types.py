"""HTTP in and out of licence types."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Response

from services.licenses.model.types import TypeDocument, check_type_code
from services.licenses.queries import types
from services.licenses.schemas.types import TypeRead
from services.licenses.use_cases import types as use_cases_types
from shared import clock
from shared.errors import FieldError, InvalidInputError
from shared.http.dependencies import ReadSession, Session
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
    return None if if_match is None else await required_version(if_match)


Expected = Annotated[int | None, Depends(_expected)]


@router.get("", response_model=Page[TypeRead])
async def list_types(session: ReadSession, limit: Limit = 50, cursor: Cursor = None) -> Any:
    """证照类型, each in its newest version, in the order of their codes."""
    after = decode_cursor(cursor, str)[0] if cursor else ""
    rows = await types.list_types(session, after, limit)
    page, following = page_of(rows, limit, "code")
    return {"items": page, "next": following}


@router.get("/{code}", response_model=TypeRead)
async def get_type(code: Code, session: ReadSession, response: Response) -> Any:
    """One type in its newest version."""
    found = await types.get_type(session, code)
    response.headers["etag"] = etag(found.version)
    return found


@router.get("/{code}/versions/{version}", response_model=TypeRead)
async def get_type_version(
    code: Code, version: Annotated[int, Path(ge=1, le=2**31 - 1)], session: ReadSession
) -> Any:
    """One type as it was in a version."""
    return await types.get_type_version(session, code, version)


@router.put("/{code}", response_model=TypeRead)
async def publish_type(
    code: Code,
    document: TypeDocument,
    session: Session,
    administrator: Administrator,
    expected: Expected,
    response: Response,
) -> Any:
    """Publish the first version, or with If-Match the next one; what is published stays as it is."""
    try:
        code = check_type_code(code)
    except ValueError as error:
        raise InvalidInputError(
            "no licence type code", [FieldError("code", "type_code", str(error))]
        ) from None
    if code[:18] != document.defining_body.code:
        fault = FieldError(
            "defining_body.code", "type_code", "the type code begins with another body's code"
        )
        raise InvalidInputError("code and body do not fit", [fault])
    found = await use_cases_types.publish_type(
        session, code, document, expected, administrator.subject, clock.now()
    )
    response.headers["etag"] = etag(found.version)
    return found
