"""Breaking changes between two folders of contracts."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.contracts.documents import (
    AsyncApi,
    Body,
    Media,
    Message,
    OpenApi,
    Operation,
    Parameter,
    Schema,
)
from deploy.contracts.schemas import SchemaComparison

VARIABLE = re.compile(r"\{([^}]*)\}")


def breaking_changes(old: Path, new: Path) -> list[str]:
    """What clients of the contracts in the folder `old` cannot use in `new`; each told once."""
    found: list[str] = []
    for path in sorted(old.glob("*.json")):
        if not (new / path.name).exists():
            found.append(f"{path.name}: the contract is removed")
            continue
        if path.name.endswith(".openapi.json"):
            changes = compare_openapi(OpenApi.read(path), OpenApi.read(new / path.name))
        else:
            changes = compare_asyncapi(AsyncApi.read(path), AsyncApi.read(new / path.name))
        # A named schema is used in many places.
        found += [f"{path.name}: {change}" for change in dict.fromkeys(changes)]
    return found


def compare_openapi(old: OpenApi, new: OpenApi) -> Iterator[str]:
    """Breaking changes of a REST contract."""
    comparison = _OpenApiComparison(old, new)
    after = _operations(new)
    for name, (path, operation) in _operations(old).items():
        if name not in after:
            yield f"{name}: the operation is removed"
            continue
        new_path, new_operation = after[name]
        before_parameters = _parameters(path, operation)
        after_parameters = _parameters(new_path, new_operation)
        yield from comparison.parameters(before_parameters, after_parameters, at=name)
        yield from comparison.request(operation.request, new_operation.request, at=name)
        yield from comparison.responses(operation.responses, new_operation.responses, at=name)


def _operations(document: OpenApi) -> dict[str, tuple[str, Operation]]:
    """Operations by method and path; how a variable of the path is called does not matter."""
    found: dict[str, tuple[str, Operation]] = {}
    for path, methods in document.paths.items():
        for method, operation in methods.items():
            found[f"{method.upper()} {VARIABLE.sub('{}', path)}"] = (path, operation)
    return found


def _parameters(path: str, operation: Operation) -> dict[str, Parameter]:
    variables = VARIABLE.findall(path)
    found: dict[str, Parameter] = {}
    for parameter in operation.parameters:
        name = parameter.name
        if parameter.location == "path":
            name = str(variables.index(name) + 1)
        elif parameter.location == "header":
            name = name.lower()
        found[f"{parameter.location} parameter {name}"] = parameter
    return found


class _OpenApiComparison:
    def __init__(self, old: OpenApi, new: OpenApi) -> None:
        definitions = (old.components.definitions, new.components.definitions)
        self._sent = SchemaComparison(*definitions, is_answer=False)
        self._answered = SchemaComparison(*definitions, is_answer=True)

    def parameters(
        self, old: Mapping[str, Parameter], new: Mapping[str, Parameter], *, at: str
    ) -> Iterator[str]:
        for name, parameter in new.items():
            if parameter.required and (name not in old or not old[name].required):
                yield f"{at}: {name}: the parameter is required now"
        for name, parameter in old.items():
            if name not in new:
                yield f"{at}: {name}: the parameter is removed"
                continue
            place = f"{at}: {name}"
            yield from self._sent.compare(parameter.content, new[name].content, at=place)

    def request(self, old: Body | None, new: Body | None, *, at: str) -> Iterator[str]:
        if new is not None and new.required and (old is None or not old.required):
            yield f"{at}: request: the body is required now"
        if old is None:
            return
        if new is None:
            yield f"{at}: request: the body is removed"
            return
        yield from self._bodies(
            old.content, new.content, comparison=self._sent, at=f"{at}: request"
        )

    def responses(
        self, old: Mapping[str, Body], new: Mapping[str, Body], *, at: str
    ) -> Iterator[str]:
        for status, body in old.items():
            if status not in new:
                yield f"{at}: the response {status} is removed"
                continue
            place = f"{at}: {status}"
            yield from self._bodies(
                body.content, new[status].content, comparison=self._answered, at=place
            )

    def _bodies(
        self,
        old: Mapping[str, Media],
        new: Mapping[str, Media],
        *,
        comparison: SchemaComparison,
        at: str,
    ) -> Iterator[str]:
        for media_type, media in old.items():
            if media_type not in new:
                yield f"{at}: the media type {media_type} is removed"
                continue
            yield from comparison.compare(media.content, new[media_type].content, at=at)


def compare_asyncapi(old: AsyncApi, new: AsyncApi) -> Iterator[str]:
    """Breaking changes of events."""
    for name, channel in old.channels.items():
        if name not in new.channels:
            yield f"channel {name}: the channel is removed"
            continue
        after = new.channels[name]
        if channel.address != after.address:
            yield f"channel {name}: the address is {after.address} now, not {channel.address}"
        for event, message in channel.messages.items():
            if event not in after.messages:
                yield f"{event}: the event is removed from channel {name}"
                continue
            yield from _messages(old, new, message=message, after=after.messages[event], at=event)


def _messages(
    old: AsyncApi, new: AsyncApi, *, message: Message, after: Message, at: str
) -> Iterator[str]:
    before, after = old.message(message), new.message(after)

    def compare(old_schema: Schema, new_schema: Schema) -> list[str]:
        # One comparison per schema: the names in `$defs` belong to a single payload.
        comparison = SchemaComparison(
            old.definitions_of(old_schema), new.definitions_of(new_schema), is_answer=True
        )
        return comparison.compare(old_schema, new_schema, at=at)

    yield from compare(before.payload, after.payload)
    yield from compare(before.headers, after.headers)
