"""Field types that schemas of several features use."""

from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticKnownError

from shared.domain import codes
from shared.fields import CLEAN


class Strict(BaseModel):
    """A command: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


def _report_as_literal(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    try:
        return handler(value)
    except ValidationError as error:
        # The text of both rules is the same; only the name of the rule differs.
        expected = error.errors()[0].get("ctx", {})
        raise PydanticKnownError("literal_error", expected) from None


CHOICE = WrapValidator(_report_as_literal)
"""Use as `Annotated[SomeEnum, CHOICE]`.

The rule of a wrong value is `literal_error`, as clients know it, instead of Pydantic's `enum`.
"""

Place = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60), CLEAN]
"""Name or number of a hall, a window, a queue or a terminal."""
Department = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40), CLEAN
]
Area = Annotated[str, Field(pattern=r"^([0-9]{6}|[0-9]{12})$"), AfterValidator(codes.check_area)]
CaseNumber = Annotated[str, StringConstraints(min_length=1, max_length=120), CLEAN]
Phone = Annotated[str, Field(max_length=20), AfterValidator(codes.check_phone)]
