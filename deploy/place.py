"""Where one platform lives on this machine: its data, its port, its key, and the note by which others find it."""

import base64
import os
import secrets
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

REGION_OFFSET = 300
"""The port of the regional simulator is the gateway's plus this."""
VAR = Path(__file__).resolve().parent.parent / "var"


@dataclass(frozen=True)
class Place:
    """`data` holds everything of this platform; the gateway listens on `port`."""

    data: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def regional_url(self) -> str:
        """Where a simulator of the regional platform is looked for."""
        return f"http://127.0.0.1:{self.port + REGION_OFFSET}"

    @property
    def account_file(self) -> Path:
        """Sample accounts with their secrets, readable by the owner alone."""
        return self.data / "accounts.json"

    @property
    def state_file(self) -> Path:
        return self.data / "platform.json"

    def key(self, name: str) -> str:
        """A key of 32 bytes in base64, made once: `data` of personal data at rest, `platform` of what events seal."""
        path = self.data / f"{name}.key"
        if not path.exists():
            write_secret(path, base64.b64encode(secrets.token_bytes(32)))
        return path.read_text().strip()

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Note what runs here, for the operator's commands (demonstration, recount)."""
        self.remove_state()
        write_secret(self.state_file, orjson.dumps({"url": self.url, **state}))

    def remove_state(self) -> None:
        self.state_file.unlink(missing_ok=True)


def write_secret(path: Path, content: bytes) -> None:
    """A new file that only its owner may read."""
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        _ = file.write(content)


def find_platform(url: str, under: Path = VAR) -> tuple[Place, dict[str, Any]] | None:
    """The platform on this machine that serves `url`, with what it noted of itself."""
    for path in under.glob("*/platform.json"):
        state = orjson.loads(path.read_bytes())
        if state["url"] == url.rstrip("/"):
            return Place(path.parent, int(state["url"].rpartition(":")[2])), state
    return None


def refuse_taken(ports: Iterable[int]) -> None:
    """End with clear words when one of the ports is in use."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise SystemExit(
                    f"port {port} on 127.0.0.1 is taken; stop what uses it (ss -ltnp) or choose another: --port N"
                ) from None
