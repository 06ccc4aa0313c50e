"""Who may do and see what, and how a rating and its invitation are shown."""

import io
from typing import Annotated, Any

import segno
from fastapi import Depends, Request

from services.ratings.calendar import queries as calendar_queries
from services.ratings.giving.use_cases import supplement
from services.ratings.invitations.credentials import find
from services.ratings.invitations.model.invitation import Invitation
from services.ratings.rating.model.dictionary import (
    CONTENTS,
    CURRENT,
    GRADES,
    RETIRED_TAGS,
    Tag,
    tags_of,
)
from services.ratings.rating.model.rating import Rating
from services.ratings.rating.schemas import RatingRead
from services.ratings.settings import Settings
from shared import clock
from shared.database.session import Database
from shared.domain.workdays import Moment
from shared.errors import ForbiddenError, NotFoundError
from shared.http.client_address import client_address
from shared.http.dependencies import Session
from shared.security.auth import CurrentCaller, MaybeCaller, with_role
from shared.security.tokens import Caller

CITIZENS = frozenset({"person", "organisation"})
READERS = frozenset({"rating_handler", "department_head"})
Clerk = Annotated[Caller, Depends(with_role("window_clerk"))]
Handler = Annotated[Caller, Depends(with_role("rating_handler"))]
"""差评处理岗 of a department."""
PUSH = "ratings:push"


async def moment(session: Session) -> Moment:
    """Now, by the calendar in force."""
    return Moment(clock.now(), await calendar_queries.get_calendar(session))


At = Annotated[Moment, Depends(moment)]


# These wait for nothing and are async all the same: FastAPI hands a plain function to a thread.
async def _settings(request: Request) -> Settings:
    return request.app.state.settings


Config = Annotated[Settings, Depends(_settings)]


async def _database(request: Request) -> Database:
    return request.app.state.database


Db = Annotated[Database, Depends(_database)]


async def _rater(request: Request, caller: MaybeCaller, settings: Config) -> find.Rater:
    return find.Rater(caller, client_address(request, trust_gateway=settings.trust_gateway))


Rater = Annotated[find.Rater, Depends(_rater)]


def _is_system(caller: Caller) -> bool:
    return caller.kind == "system" and PUSH in caller.scopes


async def _orderer(caller: CurrentCaller) -> Caller:
    """Runs the platform, or is a bureau's system with the scope."""
    administrator = caller.kind == "staff" and "administrator" in caller.roles
    if not administrator and not _is_system(caller):
        raise ForbiddenError(
            f"this needs the role administrator, or a system with the scope {PUSH}"
        )
    return caller


Orderer = Annotated[Caller, Depends(_orderer)]


async def _displayer(caller: CurrentCaller) -> Caller:
    """A clerk at a window, or the system behind its screen."""
    if not (caller.kind == "staff" and "window_clerk" in caller.roles) and not _is_system(caller):
        raise ForbiddenError(f"this needs the role window_clerk, or a system with the scope {PUSH}")
    return caller


Displayer = Annotated[Caller, Depends(_displayer)]


def place_of(caller: Caller) -> tuple[str, str]:
    """Area and department of a member of staff or a system."""
    if not caller.area or not caller.department:
        raise ForbiddenError("you belong to no department")
    return caller.area, caller.department


def same_place(caller: Caller, thing: Any) -> bool:
    return (caller.area, caller.department) == (thing.area_code, thing.department_code)


def is_own(thing: Rating | Invitation, caller: Caller) -> bool:
    """The caller's own; an agent's only in the matters of the mandate."""
    own = (
        caller.kind in CITIZENS
        and thing.account_id is not None
        and str(thing.account_id) == caller.subject
    )
    return own and caller.covers(thing.matter_id)


def check_invitation(invitation: Invitation, caller: Caller) -> None:
    """The applicant, or a clerk of the department; for everyone else it is not there."""
    clerk = (
        caller.kind == "staff" and "window_clerk" in caller.roles and same_place(caller, invitation)
    )
    if not clerk and not is_own(invitation, caller):
        raise NotFoundError("no such invitation of yours")


def check_reader(rating: Rating, caller: Caller) -> None:
    """The rater, or those who handle ratings of the department."""
    staff = caller.kind == "staff" and bool(READERS & caller.roles) and same_place(caller, rating)
    if not staff and not is_own(rating, caller):
        raise NotFoundError("no such rating of yours")


def read_rating(rating: Rating, *, own: bool) -> dict[str, Any]:
    """The answer: the rater's own words as written, for staff masked and with what is suspicious.

    Of an anonymous rating staff see nothing that leads to the case, and so to the person.
    """
    values = {
        name: getattr(rating, name)
        for name in RatingRead.model_fields
        if name not in {"text", "supplements"}
    }
    words = [
        {"at": entry["at"], "text": supplement.own_words(entry) if own else entry["text"]}
        for entry in rating.supplements
    ]
    text = rating.text if own else rating.masked_text
    if not own and not rating.real_name:
        values |= dict.fromkeys(("invitation_id", "case_number", "terminal"))
    return {
        **values,
        "text": text,
        "supplements": words,
        "suspicions": [] if own else rating.suspicions,
    }


def _tag(tag: Tag, language: str) -> dict[str, Any]:
    text = tag.bo if language == "bo" and tag.bo else tag.zh
    names = ("code", "grade", "dictionary", "enabled", "expanded")
    return {**{name: getattr(tag, name) for name in names}, "text": text}


def language_of(request: Request) -> str:
    """`bo` where the reader prefers Tibetan, else Chinese."""
    return (
        "bo"
        if request.headers.get("accept-language", "").strip().lower().startswith("bo")
        else "zh"
    )


def read_tags(language: str) -> dict[str, Any]:
    """Grades from the best down, each with the tags that can be chosen."""
    grades = [
        {
            "grade": grade,
            "text": texts[language == "bo"],
            "tags": [_tag(tag, language) for tag in tags_of(grade)],
        }
        for grade, texts in GRADES.items()
    ]
    retired = [_tag(tag, language) for tag in RETIRED_TAGS.values()]
    return {"dictionary": CURRENT, "grades": grades, "contents": CONTENTS, "retired": retired}


def qr_svg(text: str) -> str:
    """The text as a QR code, one SVG element."""
    out = io.BytesIO()
    segno.make(text, error="m").save(out, kind="svg", scale=4, xmldecl=False)
    return out.getvalue().decode()
