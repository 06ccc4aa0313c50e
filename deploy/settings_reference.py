"""`docs/settings.md`: every setting of every process, made from the settings' classes.

The meaning of a setting is the docstring below it.
"""

from importlib import import_module
from types import NoneType, UnionType
from typing import Literal, Union, cast, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from deploy.processes import SERVICES
from shared.settings import ServiceSettings

HEAD = """# Settings

Generated from the settings' classes by `make docs`. A process reads its settings from the
environment when it starts, tells all faults at once and ends with status 2 when there is one.
"""
COLUMNS = "| Setting | Type | Default | Meaning |\n|---|---|---|---|\n"
BOUNDS = ((Ge, "ge", "≥"), (Gt, "gt", ">"), (Le, "le", "≤"), (Lt, "lt", "<"))


def settings_classes() -> dict[str, type[BaseSettings]]:
    """The settings of the gateway and of each service."""
    found: dict[str, type[BaseSettings]] = {"gateway": import_module("gateway.settings").Settings}
    for service in SERVICES:
        found[service] = import_module(f"services.{service}.settings").Settings
    return found


def undocumented() -> list[str]:
    """Settings without a docstring."""
    missing: list[str] = []
    for name, kind in settings_classes().items():
        for field, info in kind.model_fields.items():
            if not info.description:
                missing.append(f"{name}: {field}")
    return missing


def reference() -> str:
    """The whole page."""
    parts = [HEAD, "\n## Every service (`<SERVICE>_…`)\n\n", COLUMNS]
    for field, info in ServiceSettings.model_fields.items():
        parts.append(_row(f"<SERVICE>_{field.upper()}", info))
    for name, kind in settings_classes().items():
        parts.append(f"\n## {name} (`{kind.model_config.get('env_prefix', '')}…`)\n\n")
        parts.append(COLUMNS)
        for field, info in kind.model_fields.items():
            if issubclass(kind, ServiceSettings) and _is_common(field, info):
                continue
            prefix = kind.model_config.get("env_prefix", "")
            parts.append(_row(f"{prefix}{field.upper()}", info))
    return "".join(parts)


def _is_common(name: str, info: FieldInfo) -> bool:
    """Whether every service has this setting, with this default."""
    common = ServiceSettings.model_fields.get(name)
    return common is not None and common.default == info.default


def _row(name: str, info: FieldInfo) -> str:
    meaning = " ".join((info.description or "").split()).replace("|", "\\|")
    return f"| `{name}` | {_type(info)} | {_default(info)} | {meaning} |\n"


def _default(info: FieldInfo) -> str:
    if info.default is PydanticUndefined:
        return "required"
    if info.default in ("", None):
        return "none"
    if isinstance(info.default, bool):
        return f"`{str(info.default).lower()}`"
    if isinstance(info.default, frozenset):
        listed: list[str] = sorted(map(str, cast("frozenset[object]", info.default)))
        return f"`{listed}`"
    return f"`{info.default}`"


def _type(info: FieldInfo) -> str:
    bounds: list[str] = []
    for rule in info.metadata:
        for kind, attribute, sign in BOUNDS:
            if isinstance(rule, kind):
                bounds.append(f"{sign} {getattr(rule, attribute)}")
    told = _type_name(info.annotation)
    if bounds:
        return f"{told}, {', '.join(bounds)}"
    return told


PLAIN_NAMES = ((SecretStr, "secret"), (str, "text"), (int, "whole number"), (float, "number"))
ORIGIN_NAMES: dict[object, str] = {dict: "JSON object", tuple: "JSON list", frozenset: "JSON list"}


def _type_name(kind: object) -> str:
    """The type in words; of an optional one, that which it has when it is there."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _type_name(next(one for one in arguments if one is not NoneType))
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in arguments)
    if origin in ORIGIN_NAMES:
        return ORIGIN_NAMES[origin]
    if kind is bool:
        return "`true` or `false`"
    for known, name in PLAIN_NAMES:
        if kind is known:
            return name
    return getattr(kind, "__name__", str(kind))
