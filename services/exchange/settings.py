"""Settings of the exchange service, prefix `EXCHANGE_`."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import CitySettings, Port, ServiceSettings


class OutsideSettings(CitySettings):
    """What the outside sees of the city in every event.

    Nothing of it is secret, so that it can be read without the service's other settings.
    """

    model_config = SettingsConfigDict(
        env_prefix="EXCHANGE_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    public_url: str = "http://127.0.0.1:8000"
    """Where peers reach the platform: base of schema addresses, and origin in the handshake."""


class Settings(OutsideSettings, ServiceSettings):
    """How long things are kept, how endpoints are reached, and where the region is."""

    model_config = SettingsConfigDict(
        env_prefix="EXCHANGE_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    port: Port = 8106
    """Where the HTTP process listens."""
    worker_port: Port = 8206
    """Where the worker tells its health, metrics and state."""
    event_days: int = Field(default=90, ge=7, le=3650)
    """Days that the event log is kept, and with it what can be pulled, replayed or sent again."""
    history_hours: int = Field(default=72, ge=1, le=24 * 90)
    """Hours that a delivered event stays in a subscriber's status view."""
    webhook_ports: tuple[int, ...] = (443, 8443)
    """Ports that endpoints may have; in development any port."""
    webhook_slots: int = Field(default=128, ge=1, le=1000)
    """Webhooks under way at once in one worker."""
    webhook_slots_each: int = Field(default=16, ge=1, le=100)
    """Of them, for one subscription: a slow subscriber must not hold up the others."""
    verdict_minutes: int = Field(default=30, ge=1)
    """A batch that waits longer for its verdicts is shown as overdue."""
    regional_url: str = ""
    """Where the regional platform takes its tables; empty: nothing is pushed or reconciled."""
    regional_peer: str = "region"
    """Code of the peer that is the regional platform: its registered keys sign the statements."""
    regional_data_source: str = "154"
    """数据来源, three digits given by the region."""
    regional_rows_per_second: float = Field(default=2000, gt=0)
    """Rate limit of the push (token bucket)."""
    reconciliation_every: float = Field(default=900, gt=0)
    """Seconds between two comparisons of today and yesterday."""
    reconciliation_days: int = Field(default=35, ge=1, le=366)
    """Days that the nightly reconciliation looks back."""
    ticket_days: int = Field(default=7, ge=1)
    """Days within which the owner of a difference has to clear it up."""
