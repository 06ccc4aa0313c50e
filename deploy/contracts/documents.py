"""The parts of OpenAPI, AsyncAPI and JSON Schema on which clients and consumers rely."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class _Part(BaseModel):
    """A part of a document; members that are not named here do not matter to the comparison."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_by_name=True)


class Schema(_Part):
    """A JSON Schema as Pydantic and our own documents write it."""

    ref: str | None = Field(default=None, validation_alias="$ref")
    type: str | None = None
    format: str | None = None
    enum: list[JsonValue] | None = None
    const: JsonValue = None
    properties: dict[str, "Schema"] | None = None
    required: list[str] = []
    additional: "bool | Schema" = Field(default=False, validation_alias="additionalProperties")
    by_pattern: dict[str, "Schema"] = Field(default={}, validation_alias="patternProperties")
    items: "Schema | None" = None
    any_of: list["Schema"] = Field(default=[], validation_alias="anyOf")
    one_of: list["Schema"] = Field(default=[], validation_alias="oneOf")
    all_of: list["Schema"] = Field(default=[], validation_alias="allOf")
    definitions: dict[str, "Schema"] = Field(default={}, validation_alias="$defs")

    @property
    def values(self) -> list[JsonValue] | None:
        """The only values that are allowed, or None."""
        # `const: null` is a constant too, so its default says nothing.
        if "const" in self.model_fields_set:
            return [self.const]
        return self.enum

    @property
    def other_keys(self) -> "Schema | None":
        """What keys hold that `properties` does not name; None when there are no such keys."""
        if self.by_pattern:
            return Schema(any_of=list(self.by_pattern.values()))
        if isinstance(self.additional, Schema):
            return self.additional
        return Schema() if self.additional else None


Definitions = Mapping[str, Schema]
"""The schemas that a document names, by the text of `$ref`."""


class Parameter(_Part):
    """A parameter of an operation in path, query or header."""

    name: str
    location: str = Field(validation_alias="in")
    required: bool = False
    content: Schema = Field(validation_alias="schema")


class Media(_Part):
    """One media type of a body; without a schema it may be anything."""

    content: Schema = Field(default_factory=Schema, validation_alias="schema")


class Body(_Part):
    """The body of a request or of an answer, by media type."""

    content: dict[str, Media] = {}
    required: bool = False


class Operation(_Part):
    """A method of a path."""

    parameters: list[Parameter] = []
    request: Body | None = Field(default=None, validation_alias="requestBody")
    responses: dict[str, Body] = {}


class Message(_Part):
    """A kind of event; `headers` are those of the way on which it is sent."""

    ref: str | None = Field(default=None, validation_alias="$ref")
    payload: Schema = Field(default_factory=Schema)
    headers: Schema = Field(default_factory=Schema)


class Components(_Part):
    """What a document names once and refers to."""

    schemas: dict[str, Schema] = {}
    messages: dict[str, Message] = {}

    @property
    def definitions(self) -> dict[str, Schema]:
        return {f"#/components/schemas/{name}": schema for name, schema in self.schemas.items()}


class OpenApi(_Part):
    """The REST contract of a service: path → method → operation."""

    paths: dict[str, dict[str, Operation]]
    components: Components = Field(default_factory=Components)

    @classmethod
    def read(cls, path: Path) -> "OpenApi":
        return cls.model_validate_json(path.read_bytes())


class Channel(_Part):
    """A topic, or another way on which events go out."""

    address: str | None = None
    messages: dict[str, Message] = {}


class AsyncApi(_Part):
    """Events by channel."""

    channels: dict[str, Channel]
    components: Components = Field(default_factory=Components)

    @classmethod
    def read(cls, path: Path) -> "AsyncApi":
        return cls.model_validate_json(path.read_bytes())

    def message(self, message: Message) -> Message:
        """The message itself where a channel only refers to it."""
        if message.ref is None:
            return message
        return self.components.messages[message.ref.removeprefix("#/components/messages/")]

    def definitions_of(self, payload: Schema) -> Definitions:
        """The document's schemas and those that the payload brings itself."""
        own = {f"#/$defs/{name}": schema for name, schema in payload.definitions.items()}
        return self.components.definitions | own
