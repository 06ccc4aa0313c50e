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


class NextAct(StrEnum):
    """What can be done to a ticket next, named as the last part of its path."""

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
ENDED = (TicketState.CLOSED, TicketState.EXCLUDED)
RUNNING = tuple(state for state in TicketState if state not in ENDED)
ALLOWED: dict[NextAct, tuple[TicketState, ...]] = {
    NextAct.CALL_BACK: (
        *START,
        TicketState.VERIFIED,
        TicketState.CALLED_BACK,
        TicketState.RECTIFYING,
    ),
    NextAct.VERIFY: START,
    NextAct.PLAN: (TicketState.CALLED_BACK, TicketState.VERIFIED),
    NextAct.APPROVE: (TicketState.RECTIFYING,),
    NextAct.COMPLETE: (TicketState.RECTIFYING,),
    NextAct.EXPLAIN: (TicketState.CALLED_BACK, TicketState.VERIFIED, TicketState.RECTIFYING),
    NextAct.FEED_BACK: ANSWERED,
    NextAct.RE_RATE: ANSWERED,
    NextAct.APPEAL: RUNNING,
}
IS_RUNNING = "closed_on IS NULL"
