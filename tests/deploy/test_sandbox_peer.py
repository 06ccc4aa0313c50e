"""One command gives an integrator all that is needed to receive the platform's events."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import httpx
import orjson
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from deploy.postgres import free_port
from tests.conftest import once
from tests.deploy.test_embedded import running


async def run(data: Path, port: int, *more: str) -> tuple[int | None, bytes, bytes]:
    target = f"http://127.0.0.1:{port}"
    command = (
        sys.executable,
        "-m",
        "deploy.sandbox_peer",
        "--target",
        target,
        "--under",
        str(data),
        *more,
    )
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, words = await process.communicate()
    return process.returncode, out, words


async def test_sandbox_peer_subscribes_and_pulls_with_what_the_command_prints(
    tmp_path: Path,
) -> None:
    port = free_port()
    async with (
        running(tmp_path, port),
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}/api/v1", trust_env=False, timeout=30
        ) as client,
    ):
        status, out, words = await run(tmp_path, port, "--name", "demo")
        assert status == 0, words
        sheet: dict[str, Any] = orjson.loads(out)
        again = await run(tmp_path, port, "--name", "demo")
        _, token, _ = await run(tmp_path, port, "--name", "demo", "--token")
        headers = {"Authorization": f"Bearer {token.decode().strip()}"}
        wanted = {
            "name": "沙箱",
            "mode": "pull",
            "event_types": sheet["event_types"][:1],
            "after": 0,
        }
        made = await client.post("/exchange/subscriptions", json=wanted, headers=once(headers))
        params = {"subscription": made.raise_for_status().json()["id"], "wait": 10}
        page = (
            (await client.get("/exchange/events", params=params, headers=headers))
            .raise_for_status()
            .json()
        )

    key = Path(sheet["private_key"])
    assert key.stat().st_mode & 0o777 == 0o600
    assert load_pem_private_key(key.read_bytes(), None) is not None
    assert again[0] == 1
    assert page["items"][0]["type"] == sheet["event_types"][0]
    assert {"exchange:events", "exchange:push"} == set(sheet["scopes"])


async def test_no_platform_is_told(tmp_path: Path) -> None:
    status, _, words = await run(tmp_path, free_port())

    assert status == 2
    assert b"start one with make run" in words
