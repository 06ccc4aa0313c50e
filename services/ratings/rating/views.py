"""How a rating and the dictionary of tags are shown, and to whom."""

from typing import Literal

from fastapi import Request

from services.ratings.model_base import Role
from services.ratings.rating.model.dictionary import CURRENT, RETIRED_TAGS, Tag, tags_of
from services.ratings.rating.model.grades import CONTENT_TEXTS, GRADES
from services.ratings.rating.model.rating import Rating
from services.ratings.rating.schemas import (
    GradeRead,
    RatingRead,
    SupplementRead,
    TagDictionary,
    TagRead,
)
from shared.errors import NotFoundError
from shared.security.tokens import Caller, CallerKind
from shared.texts import current_reader

READERS = frozenset({Role.RATING_HANDLER, Role.DEPARTMENT_HEAD})
Language = Literal["zh", "bo"]


def check_reader(rating: Rating, caller: Caller) -> None:
    """Raise `NotFoundError` for all but the rater and those who handle the office's ratings."""
    is_staff = caller.kind is CallerKind.STAFF and bool(READERS & caller.roles)
    handles = is_staff and (caller.area, caller.department) == rating.office
    if not handles and not rating.is_of(caller):
        raise NotFoundError("no such rating of yours")


def read_rating(rating: Rating, *, own: bool) -> RatingRead:
    """The rating as its rater (`own`) or as staff may see it.

    Staff see the words masked, and what is suspicious. Of an anonymous rating they see nothing that
    leads to the case, and so to the person.
    """
    shows_case = own or rating.real_name
    read = RatingRead(
        id=rating.id,
        invitation_id=rating.invitation_id,
        revision=rating.revision,
        stage=rating.stage,
        case_number=rating.case_number,
        service_number=rating.service_number,
        area_code=rating.area_code,
        department_code=rating.department_code,
        matter_code=rating.matter_code,
        matter_name=rating.matter_name,
        hall=rating.hall,
        window=rating.window,
        grade=rating.grade,
        tags=rating.tags,
        dictionary=rating.dictionary,
        contents=rating.contents,
        text=rating.text,
        pf=rating.pf,
        sub_channel=rating.sub_channel,
        terminal=rating.terminal,
        real_name=rating.real_name,
        source=rating.source,
        suspicions=[],
        supplements=_read_supplements(rating, own=own),
        rated_at=rating.rated_at,
        rated_on=rating.rated_on,
    )
    # The model is made for the rater; everybody else gets less, never more.
    if not own:
        read.text = rating.masked_text
        read.suspicions = rating.suspicions
    # An anonymous rating must not be traced back through its case or device.
    if not shows_case:
        read.invitation_id = None
        read.case_number = None
        read.terminal = None
    return read


def _read_supplements(rating: Rating, *, own: bool) -> list[SupplementRead]:
    supplements: list[SupplementRead] = []
    for supplement in rating.supplements:
        text = supplement.as_written() if own else supplement.text
        supplements.append(SupplementRead(text=text, at=supplement.at))
    return supplements


def language_of(request: Request) -> Language:
    """`bo` where the reader prefers Tibetan, else Chinese."""
    # Only the first choice is looked at: there are two languages.
    preferred = request.headers.get("accept-language", "").strip().lower()
    if preferred.startswith("bo") and "bo" in current_reader().languages:
        return "bo"
    return "zh"


def _read_tag(tag: Tag, language: Language) -> TagRead:
    text = tag.zh
    if language == "bo" and tag.bo:
        text = tag.bo
    return TagRead(
        code=tag.code,
        grade=tag.grade,
        text=text,
        dictionary=tag.dictionary,
        enabled=tag.enabled,
        expanded=tag.expanded,
    )


def read_tags(language: Language) -> TagDictionary:
    """The dictionary in the reader's language."""
    grades: list[GradeRead] = []
    for grade, texts in GRADES.items():
        text = texts.bo if language == "bo" else texts.zh
        tags = [_read_tag(tag, language) for tag in tags_of(grade)]
        grades.append(GradeRead(grade=grade, text=text, tags=tags))
    retired = [_read_tag(tag, language) for tag in RETIRED_TAGS.values()]
    return TagDictionary(dictionary=CURRENT, grades=grades, contents=CONTENT_TEXTS, retired=retired)
