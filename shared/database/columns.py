"""Column types that keep Python types: enums as text, documents as Pydantic models in JSONB."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar, cast

from pydantic import BaseModel, ConfigDict, TypeAdapter
from sqlalchemy import Dialect, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import MappedColumn, mapped_column
from sqlalchemy.types import TypeDecorator

E = TypeVar("E", bound=StrEnum)
D = TypeVar("D")
D_contra = TypeVar("D_contra", contravariant=True)


class EnumText(TypeDecorator[E], Generic[E]):
    """A `text` column that holds the values of a `StrEnum`.

    Reading a value that the enum does not know raises `ValueError`.
    """

    impl = Text
    cache_ok = True

    def __init__(self, enum: type[E]) -> None:
        super().__init__()
        self.enum = enum
        # Looking a value up is much faster than calling the enum, and every statement does it.
        self._texts: dict[str, str] = {member: member.value for member in enum}
        self._members: dict[str, E] = {member.value: member for member in enum}

    def process_bind_param(self, value: E | str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return self._texts.get(value) or self.enum(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> E | None:
        if value is None:
            return None
        return self._members.get(value) or self.enum(value)


def enum_column(enum: type[E], **options: Any) -> MappedColumn[E]:
    """A mapped column of `EnumText`; `options` go to `mapped_column` (index, primary_key, …)."""
    return mapped_column(EnumText(enum), **options)


class StoredModel(BaseModel):
    """A document, or a part of one, in a JSONB column.

    Unknown keys are kept: a newer version beside this one may have written them.
    """

    model_config = ConfigDict(frozen=True, extra="allow")


def is_none(value: object) -> bool:
    """For `Field(exclude_if=is_none)`: a key that a document has only while it has a value."""
    return value is None


class _TextOf(Protocol[D_contra]):
    """Makes the text of a document, as SQLAlchemy calls it."""

    def __call__(self, value: D_contra | None) -> str | None: ...


class Json(TypeDecorator[D], Generic[D]):
    """A JSONB column whose value is a Pydantic type: `Json(Guide)`, `Json(list[StoredMaterial])`.

    Values are compared by content, so assigning an equal value writes nothing.
    """

    impl = JSONB
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__(none_as_null=True)
        # Unions and `Annotated` types have no `type[D]` of their own; the adapter takes them all.
        self.kind = kind
        self._adapter: TypeAdapter[D] = TypeAdapter(cast("type[D]", kind))

    def process_bind_param(self, value: D | None, dialect: Dialect) -> object:
        return None if value is None else self._adapter.dump_python(value, mode="json")

    def bind_processor(self, dialect: Dialect) -> _TextOf[D]:
        """What the driver gets: the text of the document, which Pydantic writes in one step."""
        adapter = self._adapter

        def text_of(value: D | None) -> str | None:
            return None if value is None else adapter.dump_json(value).decode()

        return text_of

    def process_result_value(self, value: object, dialect: Dialect) -> D | None:
        return None if value is None else self._adapter.validate_python(value)


def json_column(kind: Any, **options: Any) -> MappedColumn[Any]:
    """A mapped column of `Json`; its Python type is the one that the `Mapped` annotation names."""
    column_type: Json[Any] = Json(kind)
    return mapped_column(column_type, **options)


def stored(model: BaseModel) -> Mapping[str, object]:
    """The document as a column holds it, for statements that take JSON themselves."""
    return model.model_dump(mode="json")
