"""A schema as the list of the plain forms that its values may have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson
from pydantic import JsonValue

from deploy.contracts.documents import Definitions, Schema

ANY = "any"
KINDS = {"str": "string", "bool": "boolean", "int": "integer", "float": "number"}
"""The JSON type of a constant by its Python type."""


@dataclass(frozen=True)
class Alternative:
    """One form: `kind` is the type with its format; `name` the schema's name, if it has one."""

    kind: str
    name: str = ""
    values: frozenset[str] | None = None
    """The only values that are allowed, as JSON texts."""
    properties: Mapping[str, Schema] = field(default_factory=dict[str, Schema])
    required: frozenset[str] = frozenset()
    other_keys: Schema | None = None
    items: Schema | None = None


ANYTHING = Alternative(ANY)
"""What a schema says that has only parts or choices."""


def alternatives(schema: Schema, definitions: Definitions) -> Sequence[Alternative]:
    """The forms of a schema; references are resolved, parts of `allOf` joined."""
    if schema.ref is not None:
        return _named(schema.ref, alternatives(definitions[schema.ref], definitions))
    found = _own(schema)
    for part in schema.all_of:
        found = _join_each(found, alternatives(part, definitions))
    choices: list[Alternative] = []
    for choice in (*schema.any_of, *schema.one_of):
        choices += alternatives(choice, definitions)
    if choices:
        found = _join_each(found, choices)
    return found


def _named(ref: str, found: Sequence[Alternative]) -> Sequence[Alternative]:
    name = ref.rpartition("/")[2]
    named: list[Alternative] = []
    for number, one in enumerate(found, start=1):
        own = name if len(found) == 1 else f"{name}({number})"
        named.append(replace(one, name=one.name or own))
    return named


def _own(schema: Schema) -> Sequence[Alternative]:
    """What the schema says without its parts and choices."""
    if schema.values is not None:
        return _constants(schema, schema.values)
    kind = schema.type or ANY
    if schema.type is None and (schema.properties or schema.required):
        kind = "object"
    elif schema.format is not None:
        kind = f"{kind} ({schema.format})"
    return [
        Alternative(
            kind,
            properties=schema.properties or {},
            required=frozenset(schema.required),
            other_keys=schema.other_keys,
            items=schema.items,
        )
    ]


def _constants(schema: Schema, values: Sequence[JsonValue]) -> Sequence[Alternative]:
    """An alternative for each type among the values."""
    by_kind: dict[str, set[str]] = {}
    for value in values:
        kind = schema.type or KINDS.get(type(value).__name__, "null")
        by_kind.setdefault(kind, set()).add(orjson.dumps(value).decode())
    return [Alternative(kind, values=frozenset(texts)) for kind, texts in by_kind.items()]


def _join_each(ones: Sequence[Alternative], others: Sequence[Alternative]) -> Sequence[Alternative]:
    return [_join(one, other) for one in ones for other in others]


def _join(one: Alternative, other: Alternative) -> Alternative:
    """What fits both; where they contradict each other, what `other` says.

    Joined with something, an alternative is no longer the one that has its name.
    """
    if one == ANYTHING:
        return other
    if other == ANYTHING:
        return one
    properties = dict(one.properties)
    for name, schema in other.properties.items():
        if name in properties:
            schema = Schema(all_of=[properties[name], schema])
        properties[name] = schema
    kind = one.kind if other.kind == ANY else other.kind
    values = one.values if other.values is None else other.values
    return Alternative(
        kind,
        values=values,
        properties=properties,
        required=one.required | other.required,
        other_keys=other.other_keys or one.other_keys,
        items=other.items or one.items,
    )


def takes(taker: Alternative, giver: Alternative) -> bool:
    """Whether values of the giver's kind are values of the taker's kind."""
    if taker.kind in {ANY, giver.kind}:
        return True
    # A text with a format is a text, and a whole number is a number.
    return giver.kind.startswith(f"{taker.kind} (") or (taker.kind, giver.kind) == (
        "number",
        "integer",
    )
