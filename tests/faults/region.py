"""The simulated regional platform beside the broken one.

It loses rows and breaks off pushes now and then.
"""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from urllib.request import urlopen

import orjson

from deploy.broker import die_with_parent
from deploy.postgres import free_port
from deploy.stack import ROOT
from tests.builders.matters import CITY, DEPARTMENT
from tests.faults.platform import until

CODE = "region"
FAULTS = ("--lose", "5", "--breaks", "10", "--delay", "0.5")


@contextmanager
def regional_simulator(seed: int) -> Generator[str]:
    """Its address, until the block ends.

    It keeps everything in memory and so is not killed itself.
    """
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [
        sys.executable,
        "-m",
        "deploy.simulators.regional",
        "--port",
        str(port),
        "--seed",
        str(seed),
        *FAULTS,
    ]
    process = subprocess.Popen(command, cwd=ROOT, preexec_fn=die_with_parent)
    try:
        _ = until("the simulated region answers", lambda: ask(url, "keys"))
        yield url
    finally:
        process.terminate()
        _ = process.wait()


def ask(url: str, path: str) -> Any:
    try:
        with urlopen(f"{url}/{path}", timeout=10) as answer:  # noqa: S310 - an address of our own
            return orjson.loads(answer.read())
    except OSError:
        return None


def peer() -> dict[str, Any]:
    place = {"area_code": CITY, "department_code": DEPARTMENT}
    return {"code": CODE, "name": "区一体化平台", "kind": "regional", **place}


def keys(url: str) -> list[dict[str, str]]:
    """Those by which it signs statements, to be pinned."""
    return [{"kid": key["kid"], "x": key["x"]} for key in ask(url, "keys")["keys"]]
