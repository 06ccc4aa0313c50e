"""The states of a case (办件状态), the acts on it, and which state allows which act (norms §3.2)."""

from enum import StrEnum


class State(StrEnum):
    """办件状态."""

    WAITING = "waiting"  # of a one-thing application (一件事): handed in, received when what it waits for is granted
    RECEIVED = "received"  # 收件
    CORRECTING = "correcting"  # 补正
    ACCEPTED = "accepted"  # 受理, under review
    SUSPENDED = "suspended"  # 挂起, a special procedure runs
    DECIDED = "decided"  # 办结, to be delivered
    CLOSED = "closed"  # 送达
    NOT_ACCEPTED = "not_accepted"  # 不予受理
    WITHDRAWN = "withdrawn"  # 撤回
    RETURNED = "returned"  # 退件


class Act(StrEnum):
    """What can be done to a case."""

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


ALLOWED: dict[Act, frozenset[State]] = {
    Act.ACCEPT: frozenset({State.RECEIVED}),
    Act.REFUSE_ACCEPTANCE: frozenset({State.RECEIVED}),
    Act.REQUEST_CORRECTION: frozenset({State.RECEIVED, State.ACCEPTED}),
    Act.CORRECT: frozenset({State.CORRECTING}),
    Act.SUPPLY: frozenset({State.ACCEPTED, State.SUSPENDED}),
    Act.REVIEW: frozenset({State.ACCEPTED}),
    Act.SUSPEND: frozenset({State.ACCEPTED}),
    Act.RESUME: frozenset({State.SUSPENDED}),
    Act.EXTEND: frozenset({State.ACCEPTED}),
    Act.DECIDE: frozenset({State.ACCEPTED}),
    Act.DELIVER: frozenset({State.DECIDED}),
    Act.WITHDRAW: frozenset(
        {State.WAITING, State.RECEIVED, State.CORRECTING, State.ACCEPTED, State.SUSPENDED}
    ),
    Act.RETURN: frozenset({State.CORRECTING, State.ACCEPTED}),
}
FINAL = frozenset({State.CLOSED, State.NOT_ACCEPTED, State.WITHDRAWN, State.RETURNED})
IS_OPEN = "state IN ('received', 'correcting', 'accepted', 'suspended', 'decided')"
"""As SQL, letter for letter the predicate of the partial indexes: a bound parameter would hide them from a generic plan."""
