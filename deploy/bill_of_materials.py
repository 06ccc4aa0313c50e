"""The list of packages in the image (SBOM), as CycloneDX 1.6 in JSON.

`python -m deploy.bill_of_materials LOCK_FILE` prints it: of every package that the lock file names
and that is installed here the version, the hashes that the lock file allows, and the licence that
the package states. The output depends on nothing else, so that the same lock gives the same list.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TypeAlias

import orjson

from deploy.versions import current_version

JsonValue: TypeAlias = "str | int | list[JsonValue] | JsonMap"
JsonMap: TypeAlias = "Mapping[str, JsonValue]"

REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
LICENSE_CLASSIFIER = "License :: "


@dataclass(frozen=True)
class Requirement:
    """One package of a lock file; `hashes` are the SHA-256 of the files that may be installed."""

    name: str
    version: str
    hashes: list[str]


def read_lock(text: str) -> Iterator[Requirement]:
    """The packages of a lock file as uv and pip write it."""
    found = list(REQUIREMENT.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    for match, end in zip(found, ends, strict=True):
        hashes = HASH.findall(text[match.end() : end])
        yield Requirement(match[1].lower(), match[2], hashes)


def _license_of(name: str) -> str | None:
    """What an installed package states; None where it is not installed (another platform's)."""
    try:
        metadata = distribution(name).metadata
    except PackageNotFoundError:
        return None
    for expression in metadata.get_all("License-Expression", []):
        return str(expression)
    for classifier in metadata.get_all("Classifier", []):
        if str(classifier).startswith(LICENSE_CLASSIFIER):
            return str(classifier).rpartition(" :: ")[2]
    for text in metadata.get_all("License", []):
        # Some packages put the whole text there; its first line is the name.
        return str(text).strip().partition("\n")[0]
    return "unknown"


def _component(requirement: Requirement, license_: str) -> JsonMap:
    place = f"pkg:pypi/{requirement.name}@{requirement.version}"
    return {
        "type": "library",
        "bom-ref": place,
        "name": requirement.name,
        "version": requirement.version,
        "purl": place,
        "licenses": [{"license": {"name": license_}}],
        # CycloneDX knows one file per component, a lock several wheels: all that may be installed.
        "properties": [
            {"name": "tongban:allowed-sha256", "value": value} for value in requirement.hashes
        ],
    }


def bill_of_materials(lock: str) -> JsonMap:
    """The CycloneDX document of the packages in a lock file that are installed here."""
    components: list[JsonValue] = []
    for requirement in read_lock(lock):
        license_ = _license_of(requirement.name)
        if license_ is not None:
            components.append(_component(requirement, license_))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "tongban",
                "name": "tongban",
                "version": str(current_version()),
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": components,
    }


def main(arguments: list[str]) -> int:
    """`LOCK_FILE`."""
    (lock,) = arguments
    document = bill_of_materials(Path(lock).read_text(encoding="utf-8"))
    option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    _ = sys.stdout.buffer.write(orjson.dumps(document, option=option))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
