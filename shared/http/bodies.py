"""OpenAPI of request bodies that are read as a stream: files, and lines of JSON."""

from typing import Any

FILE = {"type": "string", "format": "binary"}


def file_body(*media_types: str) -> dict[str, Any]:
    """`openapi_extra` of an operation whose body is a file of one of these media types."""
    return {
        "requestBody": {
            "required": True,
            "content": {media_type: {"schema": FILE} for media_type in media_types},
        }
    }
