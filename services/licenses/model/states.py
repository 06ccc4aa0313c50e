"""The states of a licence (证照状态), the operations on it, and which state allows which (norms §4)."""

from enum import StrEnum


class Status(StrEnum):
    """证照状态; only 01 counts as evidence."""

    VALID = "01"  # 有效
    SUSPENDED = "02"  # 暂扣
    REVOKED = "03"  # 撤销
    CANCELLED = "04"  # 注销
    EXPIRED = "05"  # 失效
    TRANSFERRED = "06"  # 转出
    WITHDRAWN = "07"  # 吊销
    OTHER = "99"  # 其他


class Act(StrEnum):
    """What can be done to a licence."""

    SUSPEND = "suspend"  # 暂扣
    RELEASE = "release"  # 暂扣发还
    REVOKE = "revoke"  # 撤销
    CANCEL = "cancel"  # 注销
    WITHDRAW = "withdraw"  # 吊销
    TRANSFER = "transfer"  # 转出
    CHANGE = "change"  # 变更
    RENEW = "renew"  # 延续
    EXPIRE = "expire"  # 过期失效


MOVES: dict[Act, tuple[frozenset[Status], Status]] = {
    Act.SUSPEND: (frozenset({Status.VALID}), Status.SUSPENDED),
    Act.RELEASE: (frozenset({Status.SUSPENDED}), Status.VALID),
    Act.REVOKE: (frozenset({Status.VALID, Status.SUSPENDED, Status.EXPIRED}), Status.REVOKED),
    Act.CANCEL: (frozenset({Status.VALID, Status.SUSPENDED, Status.EXPIRED}), Status.CANCELLED),
    Act.WITHDRAW: (frozenset({Status.VALID, Status.SUSPENDED}), Status.WITHDRAWN),
    Act.TRANSFER: (frozenset({Status.VALID}), Status.TRANSFERRED),
    Act.CHANGE: (frozenset({Status.VALID}), Status.VALID),
    Act.RENEW: (frozenset({Status.VALID}), Status.VALID),
    Act.EXPIRE: (frozenset({Status.VALID, Status.SUSPENDED}), Status.EXPIRED),
}
"""Act → the states that allow it and the state after it."""
IRREVERSIBLE = frozenset({Status.REVOKED, Status.CANCELLED, Status.WITHDRAWN})
RUNS_OUT = "status IN ('01', '02') AND valid_until IS NOT NULL"
"""As SQL, letter for letter the predicate of the partial index."""


def allowed(status: Status) -> list[str]:
    """The acts that this state allows a person (time alone expires it)."""
    return [act for act, (states, _) in MOVES.items() if status in states and act is not Act.EXPIRE]
