"""The states of a bad rating's ticket (差评工单), and what can be done in each."""

from enum import StrEnum


class TicketState(StrEnum):
    """工单状态, in the order of its life."""

    OPEN = "open"
    REOPENED = "reopened"
    VERIFIED = "verified"
    CALLED_BACK = "called_back"
    RECTIFYING = "rectifying"
    RECTIFIED = "rectified"
    EXPLAINED = "explained"
    CLOSED = "closed"
    EXCLUDED = "excluded"


class TicketAct(StrEnum):
    """What can be done to a ticket; the words are those of the paths."""

    CALL_BACK = "callbacks"
    VERIFY = "verification"
    PLAN = "rectification"
    APPROVE = "rectification/approval"
    COMPLETE = "rectification/completion"
    EXPLAIN = "explanation"
    FEED_BACK = "feedback"
    RE_RATE = "re-rating"
    APPEAL = "appeal"


START = (TicketState.OPEN, TicketState.REOPENED)
ANSWERED = (TicketState.RECTIFIED, TicketState.EXPLAINED)
RUNNING = tuple(
    state for state in TicketState if state not in {TicketState.CLOSED, TicketState.EXCLUDED}
)
ALLOWED: dict[TicketAct, tuple[TicketState, ...]] = {
    TicketAct.CALL_BACK: (
        *START,
        TicketState.VERIFIED,
        TicketState.CALLED_BACK,
        TicketState.RECTIFYING,
    ),
    TicketAct.VERIFY: START,
    TicketAct.PLAN: (TicketState.CALLED_BACK, TicketState.VERIFIED),
    TicketAct.APPROVE: (TicketState.RECTIFYING,),
    TicketAct.COMPLETE: (TicketState.RECTIFYING,),
    TicketAct.EXPLAIN: (TicketState.CALLED_BACK, TicketState.VERIFIED, TicketState.RECTIFYING),
    TicketAct.FEED_BACK: ANSWERED,
    TicketAct.RE_RATE: ANSWERED,
    TicketAct.APPEAL: RUNNING,
}
IS_RUNNING = "closed_on IS NULL"
