"""Audit rows about subscriptions and their deliveries; nothing else of `events` writes any."""

from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.events.model.subscription import Subscription
from shared.database import audit


def record(
    session: AsyncSession,
    action: str,
    *,
    subscription: Subscription,
    reason: str | None = None,
    **detail: object,
) -> None:
    """Who did what with the subscription; the agent is that of the request or timer."""
    audit.record(
        session,
        action,
        object_type="subscription",
        object_id=subscription.id,
        reason=reason,
        **detail,
    )
