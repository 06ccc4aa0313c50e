"""Settings of the identity service, prefix `IDENTITY_`."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """Settings of the HTTP process and the worker."""

    model_config = SettingsConfigDict(
        env_prefix="IDENTITY_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    port: Port = 8101
    """Where the HTTP process listens."""
    worker_port: Port = 8201
    """Where the worker tells its health, metrics and state."""
    access_token_seconds: int = Field(default=600, ge=60, le=600)
    """Life of an access token, in seconds."""
    refresh_token_seconds: int = Field(default=30 * 86400, ge=3600)
    """Life of a refresh token, in seconds."""
    refresh_grace_seconds: int = Field(default=10, ge=0, le=60)
    """Seconds in which a refresh token may come a second time, as after a lost answer."""
    sms_code_seconds: int = Field(default=300, ge=60, le=600)
    """Life of a code sent by SMS, in seconds."""
    trust_gateway: bool = True
    """Take the client's address from the last X-Forwarded-For entry, which the gateway sets."""
