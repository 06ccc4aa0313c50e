"""States of a license (证照状态), its other closed lists, and which operation which state allows.

Source: the national norms of electronic licenses (GB/T 36901 to 36906).
"""

from enum import StrEnum


class Status(StrEnum):
    """证照状态. Only VALID counts as evidence."""

    VALID = "01"  # 有效
    SUSPENDED = "02"  # 暂扣
    REVOKED = "03"  # 撤销
    CANCELLED = "04"  # 注销
    EXPIRED = "05"  # 失效
    TRANSFERRED = "06"  # 转出
    WITHDRAWN = "07"  # 吊销
    OTHER = "99"  # 其他


class Operation(StrEnum):
    """What can be done to a license, or brings it into being."""

    ISSUE = "issue"  # 新发
    COLLECT = "collect"  # 采集
    SUSPEND = "suspend"  # 暂扣
    RELEASE = "release"  # 暂扣发还
    REVOKE = "revoke"  # 撤销
    CANCEL = "cancel"  # 注销
    WITHDRAW = "withdraw"  # 吊销
    TRANSFER = "transfer"  # 转出
    CHANGE = "change"  # 变更
    RENEW = "renew"  # 延续
    EXPIRE = "expire"  # 过期失效


class Trust(StrEnum):
    """How far a license can be trusted (可信等级)."""

    A = "A"  # made and signed by the issuer
    B = "B"  # collected by the issuer from its old records
    C = "C"  # supplied by another authority
    D = "D"  # made by the holder


class Origin(StrEnum):
    """Where a license comes from."""

    CASE = "case"
    API = "api"
    COLLECTED = "collected"


class HolderKind(StrEnum):
    """持证主体类型."""

    PERSON = "person"
    ORGANISATION = "organisation"


STATUS_NAMES = {
    Status.VALID: "有效",
    Status.SUSPENDED: "暂扣",
    Status.REVOKED: "撤销",
    Status.CANCELLED: "注销",
    Status.EXPIRED: "失效",
    Status.TRANSFERRED: "转出",
    Status.WITHDRAWN: "吊销",
    Status.OTHER: "其他",
}

MOVES: dict[Operation, tuple[frozenset[Status], Status]] = {
    Operation.SUSPEND: (frozenset({Status.VALID}), Status.SUSPENDED),
    Operation.RELEASE: (frozenset({Status.SUSPENDED}), Status.VALID),
    Operation.REVOKE: (
        frozenset({Status.VALID, Status.SUSPENDED, Status.EXPIRED}),
        Status.REVOKED,
    ),
    Operation.CANCEL: (
        frozenset({Status.VALID, Status.SUSPENDED, Status.EXPIRED}),
        Status.CANCELLED,
    ),
    Operation.WITHDRAW: (frozenset({Status.VALID, Status.SUSPENDED}), Status.WITHDRAWN),
    Operation.TRANSFER: (frozenset({Status.VALID}), Status.TRANSFERRED),
    # Only what is valid is changed or renewed: a suspended one is released first.
    Operation.CHANGE: (frozenset({Status.VALID}), Status.VALID),
    Operation.RENEW: (frozenset({Status.VALID}), Status.VALID),
    Operation.EXPIRE: (frozenset({Status.VALID, Status.SUSPENDED}), Status.EXPIRED),
}
"""Operation → the states that allow it and the state after it."""

IRREVERSIBLE = frozenset({Status.REVOKED, Status.CANCELLED, Status.WITHDRAWN})

# PostgreSQL uses a partial index only for the very same predicate, so these stay literal SQL.
EXPIRABLE_SQL = "status IN ('01', '02') AND valid_until IS NOT NULL"
UNSIGNED_SQL = "NOT signed AND status = '01'"


def allowed(status: Status) -> list[Operation]:
    """The operations that this state allows an officer. Only the timer expires a license."""
    operations: list[Operation] = []
    for operation, (states, _) in MOVES.items():
        if status in states and operation is not Operation.EXPIRE:
            operations.append(operation)
    return operations
