"""Settings of the licenses service, prefix `LICENSES_`."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """`public_url`: the gateway's address as people reach it, for the QR on a license (`https://…`)."""

    model_config = SettingsConfigDict(env_prefix="LICENSES_", frozen=True, extra="ignore")

    port: Port = 8104
    worker_port: Port = 8204
    public_url: str = ""
    trust_gateway: bool = True
    """Take the client's address from the last X-Forwarded-For entry, which the gateway sets."""
    check_window_seconds: int = Field(default=600, ge=1)
    check_tries_per_address: int = Field(default=120, ge=1)
    check_tries_per_number: int = Field(default=20, ge=1)
    """Budget of tries to check a license without signing in; a service hall is one address."""
