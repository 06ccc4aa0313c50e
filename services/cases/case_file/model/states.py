"""The states of a case (办件状态), the acts on it, and which state allows which (norms §3.2)."""

from enum import StrEnum


class State(StrEnum):
    """办件状态."""

    WAITING = "waiting"  # child of a bundle (一件事): received when what it waits for is granted
    RECEIVED = "received"  # 收件
    CORRECTING = "correcting"  # 补正
    ACCEPTED = "accepted"  # 受理, under review
    SUSPENDED = "suspended"  # 挂起, a special procedure runs
    DECIDED = "decided"  # 办结, to be delivered
    CLOSED = "closed"  # 送达
    NOT_ACCEPTED = "not_accepted"  # 不予受理
    WITHDRAWN = "withdrawn"  # 撤回
    RETURNED = "returned"  # 退件


class CaseAct(StrEnum):
    """What happens to a case: what people do (`ALLOWED`), then what follows by itself."""

    ACCEPT = "accept"
    REFUSE_ACCEPTANCE = "refuse_acceptance"
    REQUEST_CORRECTION = "request_correction"
    CORRECT = "correct"
    SUPPLY = "supply"
    REVIEW = "review"
    SUSPEND = "suspend"
    RESUME = "resume"
    EXTEND = "extend"
    DECIDE = "decide"
    DELIVER = "deliver"
    WITHDRAW = "withdraw"
    RETURN = "return"

    RECEIVE = "receive"  # 收件, with the application or when the case has waited long enough
    WAIT = "wait"  # applied for, to be received later
    DEEM_ACCEPTED = "deem_accepted"  # 视为受理
    DUE_CHANGED = "due_changed"  # the calendar has changed
    USE_LICENSE = "use_license"  # 用证
    LICENSE_LAPSED = "license_lapsed"
    LICENSE_RESTORED = "license_restored"


ALLOWED: dict[CaseAct, frozenset[State]] = {
    CaseAct.ACCEPT: frozenset({State.RECEIVED}),
    CaseAct.REFUSE_ACCEPTANCE: frozenset({State.RECEIVED}),
    CaseAct.REQUEST_CORRECTION: frozenset({State.RECEIVED, State.ACCEPTED}),
    CaseAct.CORRECT: frozenset({State.CORRECTING}),
    CaseAct.SUPPLY: frozenset({State.ACCEPTED, State.SUSPENDED}),
    CaseAct.REVIEW: frozenset({State.ACCEPTED}),
    CaseAct.SUSPEND: frozenset({State.ACCEPTED}),
    CaseAct.RESUME: frozenset({State.SUSPENDED}),
    CaseAct.EXTEND: frozenset({State.ACCEPTED}),
    CaseAct.DECIDE: frozenset({State.ACCEPTED}),
    CaseAct.DELIVER: frozenset({State.DECIDED}),
    CaseAct.WITHDRAW: frozenset(
        {State.WAITING, State.RECEIVED, State.CORRECTING, State.ACCEPTED, State.SUSPENDED}
    ),
    CaseAct.RETURN: frozenset({State.CORRECTING, State.ACCEPTED}),
}
FINAL = frozenset({State.CLOSED, State.NOT_ACCEPTED, State.WITHDRAWN, State.RETURNED})
# As SQL, letter for letter the predicate of the partial indexes: with a bound parameter
# PostgreSQL could not use them in a generic plan.
IS_OPEN = "state IN ('received', 'correcting', 'accepted', 'suspended', 'decided')"
