"""Subscriptions, deliveries and figures as answers show them."""

from collections.abc import Sequence

from services.exchange.events.model.delivery import Delivery, DeliveryState, Measure
from services.exchange.events.model.external import City
from services.exchange.events.model.subscription import Mode, Subscription, SubscriptionState
from services.exchange.events.queries.deliveries import LoadRow, StatisticRow
from services.exchange.events.schemas.deliveries import (
    DeliveryRead,
    SubscriptionStatistic,
    TypeStatistic,
)
from services.exchange.events.schemas.subscriptions import (
    FiltersRead,
    SecretShown,
    SubscriptionRead,
)
from services.exchange.settings import OutsideSettings


def city_of(settings: OutsideSettings) -> City:
    return City(settings.city.code, settings.city.name, settings.public_url)


def read_subscription(subscription: Subscription) -> SubscriptionRead:
    return SubscriptionRead(
        id=subscription.id,
        revision=subscription.revision,
        peer_id=subscription.peer_id,
        name=subscription.name,
        mode=subscription.mode,
        state=subscription.state,
        event_types=subscription.event_types,
        filters=FiltersRead(
            area_codes=subscription.area_codes,
            department_codes=subscription.department_codes,
            matter_codes=subscription.matter_codes,
        ),
        endpoint=subscription.endpoint,
        sign_ed25519=subscription.sign_ed25519,
        cursor=subscription.cursor,
        failing_since=subscription.failing_since,
        reason=subscription.reason,
        created_at=subscription.created_at,
    )


def show_secret(subscription: Subscription, secret: str | None) -> SecretShown:
    return SecretShown(**dict(read_subscription(subscription)), secret=secret)


def read_delivery(delivery: Delivery) -> DeliveryRead:
    next_attempt_at = None
    if delivery.state == DeliveryState.PENDING:
        next_attempt_at = delivery.next_attempt_at
    return DeliveryRead(
        sequence=delivery.sequence,
        event_id=delivery.event_id,
        type=delivery.type,
        key=delivery.key,
        state=delivery.state,
        attempts=delivery.attempts,
        next_attempt_at=next_attempt_at,
        first_failed_at=delivery.first_failed_at,
        delivered_at=delivery.delivered_at,
        last_status=delivery.last_status,
        cause=delivery.cause,
    )


def read_type_statistics(rows: Sequence[StatisticRow]) -> list[TypeStatistic]:
    """Counters put together by peer and type, in the order of the rows."""
    found: dict[tuple[str, str], TypeStatistic] = {}
    for row in rows:
        place = (row.peer_code, row.type)
        if place not in found:
            found[place] = TypeStatistic(
                peer_code=row.peer_code, type=row.type, sent=0, acknowledged=0, rejected={}
            )
        _add(row, found[place])
    return list(found.values())


def _add(row: StatisticRow, statistic: TypeStatistic) -> None:
    if row.measure == Measure.SENT:
        statistic.sent += row.number
    elif row.measure == Measure.ACKNOWLEDGED:
        statistic.acknowledged += row.number
    else:
        cause = row.measure.removeprefix(f"{Measure.REJECTED}:")
        statistic.rejected[cause] = statistic.rejected.get(cause, 0) + row.number


def read_load(row: LoadRow) -> SubscriptionStatistic:
    return SubscriptionStatistic(
        subscription_id=row.subscription_id,
        peer_code=row.peer_code,
        name=row.name,
        mode=Mode(row.mode),
        state=SubscriptionState(row.state),
        in_flight=row.in_flight,
        failing=row.failing,
        dead=row.dead,
        lag=row.lag,
        failing_since=row.failing_since,
    )
