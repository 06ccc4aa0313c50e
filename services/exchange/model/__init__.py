"""Tables of exchange and their rules."""

from services.exchange.model.base import Base
from services.exchange.model.batch import Batch, BatchChunk, BatchReject, RecordCount
from services.exchange.model.delivery import Delivery, DeliveryState, Outcome, Statistic
from services.exchange.model.external import City, Draft, ExternalType, draft, types_of
from services.exchange.model.ledger import LedgerRow, Push
from services.exchange.model.log import LoggedEvent, LogHead
from services.exchange.model.peer import Peer
from services.exchange.model.policy import Scope, scope_of
from services.exchange.model.receipt_key import ReceiptKey
from services.exchange.model.reconciliation import Difference, Reconciliation, ReconciliationDifference
from services.exchange.model.subscription import Mode, Subscription, SubscriptionState

__all__ = [
    "Base",
    "Batch",
    "BatchChunk",
    "BatchReject",
    "City",
    "Delivery",
    "DeliveryState",
    "Difference",
    "Draft",
    "ExternalType",
    "LedgerRow",
    "LogHead",
    "LoggedEvent",
    "Mode",
    "Outcome",
    "Peer",
    "Push",
    "ReceiptKey",
    "Reconciliation",
    "ReconciliationDifference",
    "RecordCount",
    "Scope",
    "Statistic",
    "Subscription",
    "SubscriptionState",
    "draft",
    "scope_of",
    "types_of",
]
