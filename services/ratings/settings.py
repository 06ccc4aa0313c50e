"""Settings of the ratings service, prefix `RATINGS_`."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import EnvironmentSettings, Port, ServiceSettings


class Rules(EnvironmentSettings):
    """The numbers of 好差评 that a city may set (norms §1.2)."""

    model_config = SettingsConfigDict(
        env_prefix="RATINGS_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    supplementary_days: int = Field(default=5, ge=1, le=60)
    """Working days after a service event in which it can be rated."""
    import_days_max: int = Field(default=90, ge=0, le=3650)
    """Days after its end in which a case that a bureau's system pushes can still be rated."""


class Settings(ServiceSettings, Rules):
    """Settings of the HTTP process and the worker."""

    model_config = SettingsConfigDict(
        env_prefix="RATINGS_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    port: Port = 8105
    """Where the HTTP process listens."""
    worker_port: Port = 8205
    """Where the worker tells its health, metrics and state."""
    public_url: str = "http://127.0.0.1:8000"
    """The address people use, for the links in messages and QR codes."""
    trust_gateway: bool = True
    """Use the last X-Forwarded-For entry, which the gateway sets itself."""
    default_grade: int | None = Field(default=None, ge=1, le=5)
    """默认评价, off by default.

    Where a city turns it on, an invitation that nobody used shows this grade. It is no rating and
    counts in no rate.
    """
    window_code_seconds: int = Field(default=60, ge=10, le=600)
    """Seconds for which a window shows one QR code; it is accepted for as long again."""
    window_code_ratings: int = Field(default=3, ge=1, le=50)
    """Ratings that one code serves."""
    window_device_minutes: int = Field(default=30, ge=1, le=1440)
    """Minutes until one phone can rate the same window again by its QR code."""
    window_address_ratings: int = Field(default=10, ge=1, le=1000)
    """Ratings of one window from one network address within an hour, by its QR code."""
    batch_days_max: int = Field(default=180, ge=1, le=180)
    """The longest life of a batch of pre-issued tokens, in days."""
    supplement_days: int = Field(default=90, ge=1, le=3650)
    """追加: days after a rating in which words may be added."""
    hotline_tries: int = Field(default=5, ge=1, le=100)
    """Wrong telephone digits for one case within a day."""
    ranking_minimum: int = Field(default=30, ge=10)
    """Ratings from which on a group is ranked."""
