"""What the holder of a token is offered to rate."""

from datetime import date
from uuid import UUID

from pydantic import BaseModel

from services.ratings.rating.model.grades import Content
from services.ratings.rating.model.service_event import Stage
from services.ratings.rating.schemas import GradeRead
from services.ratings.tickets.model.states import TicketState


class TicketShown(BaseModel):
    """The ticket of the bad rating that was given by this token.

    Its outcome is read, and judged, by the same token.
    """

    id: UUID
    state: TicketState


class InvitationShown(BaseModel):
    """What may be rated, for whoever holds its token.

    `rating_token` is what a window's code was exchanged for.
    """

    stage: Stage
    service_number: int
    area_code: str
    department_code: str
    matter_code: str | None
    matter_name: str | None
    hall: str | None
    window: str | None
    open_until: date
    rated: bool
    ticket: TicketShown | None = None
    default_grade: int | None = None
    """默认评价 of what nobody rated in time, where a city has turned it on; counted in no rate."""
    rating_token: str | None = None
    dictionary: str
    grades: list[GradeRead]
    contents: dict[Content, str]
