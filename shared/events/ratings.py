"""Facts of the ratings service (好差评)."""

from datetime import date
from typing import Literal
from uuid import UUID

from shared.events.base import Event
from shared.events.records import RecordsJudged

Pf = Literal["1", "2", "3", "4", "5", "6", "7"]
"""评价渠道: 1 PC端 2 移动端 3 二维码 4 大厅平板 5 大厅其他终端 6 电话 7 短信."""
Stage = Literal["acceptance", "closing", "visit"]


class RatingEvent(Event, service="ratings"):
    """About one service event that can be rated: a step of a case, or a visit without a case.

    It never holds a name, number or phone. `subject_id` is the invitation's id; for pre-issued
    tokens it is derived from the token's id.
    """

    subject_id: UUID
    case_id: UUID | None
    case_number: str | None
    service_number: int
    stage: Stage
    area_code: str
    department_code: str
    matter_id: UUID | None
    matter_code: str | None
    matter_name: str | None
    hall: str | None
    window: str | None

    @property
    def key(self) -> str:
        return str(self.subject_id)


class RatingInvited(RatingEvent, fact="rating-invited"):
    """Somebody may rate this service until the end of the day `open_until`."""

    open_until: date


class RatedEvent(RatingEvent):
    """About a rating that was given.

    Without `real_name` nothing outside may lead to the rater; None in older events.
    """

    rating_id: UUID


class RatingSubmitted(RatedEvent, fact="rating-submitted"):
    """Rated; a rating cannot be changed.

    `text` is masked; `contents` are the grades of 流程, 效率, 便捷度, 态度, 体验 that were given.
    """

    grade: Literal[1, 2, 3, 4, 5]
    tags: list[str]
    contents: dict[str, int]
    pf: Pf
    sub_channel: str
    real_name: bool
    text: str | None
    rated_on: date


class RatingSupplemented(RatedEvent, fact="rating-supplemented"):
    """追加: a text was added later; the grade stays."""

    text: str
    real_name: bool | None = None


class TicketEvent(RatedEvent):
    """About the handling of one bad rating (差评整改)."""

    ticket_id: UUID
    grade: Literal[1, 2, 3, 4, 5]
    real_name: bool | None = None


class BadRatingOpened(TicketEvent, fact="bad-rating-opened"):
    """A ticket was opened; the last days are those for calling back and for rectifying."""

    callback_due_on: date
    rectify_due_on: date
    reopened: bool


class BadRatingCalledBack(TicketEvent, fact="bad-rating-called-back"):
    """The rater was called and the rating verified (回访核实)."""

    in_time: bool


class BadRatingRectified(TicketEvent, fact="bad-rating-rectified"):
    """Closed with root cause and action, or explained (整改反馈)."""

    in_time: bool
    explained: bool


class BadRatingEscalated(TicketEvent, fact="bad-rating-escalated"):
    """A deadline passed, and the ticket went to the next level up (督办)."""

    level: int
    clock: Literal["callback", "verify", "rectify", "feedback"]


class RatingRerated(TicketEvent, fact="rating-rerated"):
    """The rater rated what was done about it (再评价); the first grade stays."""

    satisfied: bool
    regrade: Literal[1, 2, 3, 4, 5]


class RatingExcluded(RatedEvent, fact="rating-excluded"):
    """Excluded from every statistic after an appeal that two reviewers upheld (误评, 恶意差评)."""

    grade: Literal[1, 2, 3, 4, 5]
    rated_on: date
    pf: Pf
    sub_channel: str
    real_name: bool
    reason: str


class RatingPublished(RatedEvent, fact="rating-published"):
    """Published, masked, with what was done about it."""

    grade: Literal[1, 2, 3, 4, 5]
    real_name: bool | None = None


class RatingRecordsJudged(RecordsJudged, service="ratings", fact="records-judged"):
    """The verdicts on ratings that came by batch."""
