"""The contract of the events that leave the platform, as AsyncAPI 3.0."""

from collections.abc import Mapping
from typing import cast

import orjson

from services.exchange.events.model.external import City, ExternalType, JsonObject, types_of

JSON = "application/json"
CLOUD_EVENT = "application/cloudevents+json; charset=UTF-8"
REQUIRED: dict[str, JsonObject] = {
    "specversion": {"const": "1.0", "description": "CloudEvents"},
    "id": {
        "type": "string",
        "format": "uuid",
        "description": "Name of the event for ever: on every way and repetition",
    },
    "source": {
        "type": "string",
        "description": "Whose fact it is: `/city/<区划>/<service>/<entity>`",
    },
    "type": {
        "type": "string",
        "description": "`cn.gov.<city>.<service>.<entity>.<action>.v<major>`",
    },
    "subject": {"type": "string", "description": "What it is about: the same as `partitionkey`"},
    "time": {"type": "string", "format": "date-time", "description": "When it happened"},
    "recordedtime": {
        "type": "string",
        "format": "date-time",
        "description": "When the platform recorded the event",
    },
    "datacontenttype": {"const": JSON, "description": "Of `data`"},
    "dataschema": {
        "type": "string",
        "format": "uri",
        "description": "JSON Schema 2020-12 of `data`, for anybody to read",
    },
    "dataclassification": {
        "enum": ["1", "2", "3", "4"],
        "description": "数据分级: public, internal, sensitive, core",
    },
    "partitionkey": {"type": "string", "description": "Order holds among the events of one key"},
    "entityversion": {
        "type": "string",
        "description": "Version of the thing, an integer as text: the newest counts",
    },
    "recorddigest": {"type": "string", "description": "Hex SHA-256 of the canonical `data`"},
    "canonver": {
        "const": "1",
        "description": "Rule of the digest: UTF-8 JSON, sorted keys, no spaces",
    },
    "correlationid": {"type": "string", "description": "Joins what one request brought about"},
    "sequence": {
        "type": "string",
        "pattern": "^[0-9]{20}$",
        "description": "Place in the log, for replay and pull",
    },
    "data": {"type": "object", "description": "What happened"},
}
OPTIONAL: dict[str, JsonObject] = {
    "causationid": {"type": "string", "description": "The event that led to this one"}
}
HEADERS = {
    "webhook-id": {"type": "string", "description": "The event's id"},
    "webhook-timestamp": {
        "type": "string",
        "description": "Seconds since 1970: refuse what is 5 minutes off",
    },
    "webhook-signature": {
        "type": "string",
        "description": "`v1,…` HMAC-SHA-256 per secret, `v1a,…` Ed25519; by spaces",
    },
}


INFO: JsonObject = {
    "title": "Tongban: events for peers",
    "version": "1",
    "description": (
        "At least once, in order per key. A receiver keeps ids, and the newest version of each key."
    ),
}


def asyncapi(city: City) -> JsonObject:
    """One message per external type.

    Webhooks get messages one by one; pulls get them in pages of the same bytes.
    """
    messages: dict[str, JsonObject] = {}
    schemas: JsonObject = {"envelope": _object(REQUIRED, optional=OPTIONAL), "page": _page()}
    for name, external in types_of(city.name).items():
        shape = _shape(external)
        schemas |= cast("JsonObject", shape.pop("$defs", {}))
        del shape["$schema"]
        messages[name] = _webhook_message(
            name, external, schema_url=city.schema_url(name), data=shape
        )
    messages["page"] = {
        "name": "page",
        "contentType": JSON,
        "payload": {"$ref": "#/components/schemas/page"},
    }
    return {
        "asyncapi": "3.0.0",
        "info": INFO,
        "channels": _channels(messages),
        "operations": {
            "deliver": _operation("webhook", method="POST"),
            "hand_out": _operation("pull", method="GET"),
        },
        "components": {"messages": messages, "schemas": schemas},
    }


def _webhook_message(
    name: str, external: ExternalType, *, schema_url: str, data: JsonObject
) -> JsonObject:
    fixed: JsonObject = {
        "type": {"const": name},
        "dataschema": {"const": schema_url},
        "data": data,
    }
    return {
        "name": name,
        "summary": (external.fact.__doc__ or "").strip().splitlines()[0],
        "contentType": CLOUD_EVENT,
        "headers": {"type": "object", "properties": HEADERS, "required": sorted(HEADERS)},
        "payload": {"allOf": [{"$ref": "#/components/schemas/envelope"}, {"properties": fixed}]},
    }


def _channels(messages: Mapping[str, JsonObject]) -> JsonObject:
    return {
        "webhook": {
            "address": None,
            "description": (
                "The endpoint of a subscription (Standard Webhooks);"
                " any 2xx says that it is stored."
            ),
            "messages": {name: _reference(name) for name in messages if name != "page"},
        },
        "pull": {"address": "/api/v1/exchange/events", "messages": {"page": _reference("page")}},
    }


def _shape(external: ExternalType) -> JsonObject:
    """The schema of the data, with references that count from the root of the whole contract."""
    text = orjson.dumps(external.schema)
    text = text.replace(b'"#/$defs/', b'"#/components/schemas/')
    return cast("JsonObject", orjson.loads(text))


def _object(required: Mapping[str, object], *, optional: Mapping[str, object]) -> JsonObject:
    return {"type": "object", "properties": {**required, **optional}, "required": sorted(required)}


def _page() -> JsonObject:
    place = {"type": "integer", "minimum": 0}
    items = {"type": "array", "items": {"$ref": "#/components/schemas/envelope"}}
    return _object({"items": items, "next": place, "head": place}, optional={})


def _reference(name: str) -> JsonObject:
    return {"$ref": f"#/components/messages/{name}"}


def _operation(channel: str, *, method: str) -> JsonObject:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "bindings": {"http": {"method": method}},
    }
