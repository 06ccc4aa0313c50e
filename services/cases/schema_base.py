"""Base and field types of the schemas of cases."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.domain import codes

Phone = Annotated[str, Field(max_length=20), AfterValidator(codes.check_phone)]
"""A mobile number, without prefix and separators."""


class Strict(BaseModel):
    """A command: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")
