"""Settings of the licenses service, prefix `LICENSES_`."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """Settings of the HTTP process and the worker."""

    model_config = SettingsConfigDict(
        env_prefix="LICENSES_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    port: Port = 8104
    """Where the HTTP process listens."""
    worker_port: Port = 8204
    """Where the worker tells its health, metrics and state."""
    public_url: str = ""
    """The address as people reach it, for the QR code on a license (`https://…`)."""
    trust_gateway: bool = True
    """Take the client's address from the last X-Forwarded-For entry, which the gateway sets."""
    check_window_seconds: int = Field(default=600, ge=1)
    """Attempts to check a license without signing in are counted for so long."""
    check_tries_per_address: int = Field(default=120, ge=1)
    """Most attempts in that time from one client address; a service hall is one."""
    check_tries_per_number: int = Field(default=20, ge=1)
    """Most attempts in that time for one license."""
