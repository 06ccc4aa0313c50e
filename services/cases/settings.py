"""Settings of the cases service, prefix `CASES_`."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """Settings of the HTTP process and the worker."""

    model_config = SettingsConfigDict(
        env_prefix="CASES_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    port: Port = 8103
    """Where the HTTP process listens."""
    worker_port: Port = 8203
    """Where the worker tells its health, metrics and state."""
    storage_url: str = "var/uploads"
    """Where uploaded files are: a local folder or `s3://bucket/prefix`."""
    extension_days_max: int = Field(default=10, ge=1, le=90)
    """Most working days by which an organ's head can extend the time of a case (延期, art. 42)."""
    trust_gateway: bool = True
    """Take the client's address from the last X-Forwarded-For entry, which the gateway sets."""
    tracking_window_seconds: int = Field(default=600, ge=1)
    """Attempts to track a case without signing in are counted for so long."""
    tracking_tries_per_address: int = Field(default=30, ge=1)
    """Most attempts in that time from one client address."""
    tracking_tries_per_number: int = Field(default=10, ge=1)
    """Most attempts in that time for one case number."""
