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
    """About one service event that can be rated: (`case_number`, `service_number`), or a visit without a case.

    Never a name, number or phone. `subject_id` is the invitation's id; of pre-issued tokens it is made from the token's id.
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
    """Somebody may rate this service until the end of `open_until`; nothing is said about it if nobody does."""

    open_until: date


class RatedEvent(RatingEvent):
    """About what was said of it: outside nothing may lead to the rater when it is not under a `real_name` (None: of old)."""

    rating_id: UUID


class RatingSubmitted(RatedEvent, fact="rating-submitted"):
    """Rated, once and for all. `text` is masked; `contents` are grades of 流程, 效率, 便捷度, 态度, 体验 where given."""

    grade: Literal[1, 2, 3, 4, 5]
    tags: list[str]
    contents: dict[str, int]
    pf: Pf
    sub_channel: str
    real_name: bool
    text: str | None
    rated_on: date


class RatingSupplemented(RatedEvent, fact="rating-supplemented"):
    """追加: words added later; the grade stays."""

    text: str
    real_name: bool | None = None


class TicketEvent(RatedEvent):
    """About the handling of one bad rating (差评整改)."""

    ticket_id: UUID
    grade: Literal[1, 2, 3, 4, 5]
    real_name: bool | None = None


class BadRatingOpened(TicketEvent, fact="bad-rating-opened"):
    """A ticket is open; the department must call back by `callback_due_on` and put it right by `rectify_due_on`."""

    callback_due_on: date
    rectify_due_on: date
    reopened: bool


class BadRatingCalledBack(TicketEvent, fact="bad-rating-called-back"):
    """The rater was called and it was verified (回访核实)."""

    in_time: bool


class BadRatingRectified(TicketEvent, fact="bad-rating-rectified"):
    """Closed with root cause and action, or explained (整改反馈)."""

    in_time: bool
    explained: bool


class BadRatingEscalated(TicketEvent, fact="bad-rating-escalated"):
    """A clock ran out: the next level up has it (督办)."""

    level: int
    clock: Literal["callback", "verify", "rectify", "feedback"]


class RatingRerated(TicketEvent, fact="rating-rerated"):
    """The rater judged what was done about it (再评价); the first grade stays."""

    satisfied: bool
    regrade: Literal[1, 2, 3, 4, 5]


class RatingExcluded(RatedEvent, fact="rating-excluded"):
    """Left out of every rate after an appeal that two reviewers upheld (误评, 恶意差评); never deleted."""

    grade: Literal[1, 2, 3, 4, 5]
    rated_on: date
    pf: Pf
    sub_channel: str
    real_name: bool
    reason: str


class RatingPublished(RatedEvent, fact="rating-published"):
    """Shown to everybody, masked, with what was done about it."""

    grade: Literal[1, 2, 3, 4, 5]
    real_name: bool | None = None


class RatingRecordsJudged(RecordsJudged, service="ratings", fact="records-judged"):
    """The verdicts on ratings that came by batch."""
