"""A container engine of our own, apart from any that the machine has, and Docker Compose for it."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from deploy.errors import DeployError

START_SECONDS = 60.0
# Rarely used, so that they meet no network of the machine.
BRIDGE = "172.31.200.1/24"
POOL = "base=172.31.208.0/20,size=24"


class EngineError(DeployError):
    """The engine does not start, or a command of it fails."""


class Engine:
    """`dockerd` with its data in `cache`; it ends with the block.

    Its other files lie in a temporary folder with a short path, because the path of a Unix socket
    may have only 107 characters.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._folder = Path(tempfile.mkdtemp(prefix="tongban-engine-"))
        self._pid_file = self._folder / "docker.pid"
        self._url = f"unix://{self._folder / 'docker.sock'}"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _start(self) -> None:
        with (self._folder / "log").open("wb") as log:
            daemon = subprocess.Popen(
                [
                    "dockerd",
                    f"--data-root={self._cache / 'docker'}",
                    f"--exec-root={self._folder / 'exec'}",
                    f"--pidfile={self._pid_file}",
                    f"--host={self._url}",
                    "--oom-score-adjust=0",
                    f"--bip={BRIDGE}",
                    f"--default-address-pool={POOL}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal would end it before its containers.
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while self._run(["docker", "info"], quiet=True).returncode != 0:
            if daemon.poll() is not None or time.monotonic() > deadline:
                tail = (self._folder / "log").read_text(errors="replace")[-1500:]
                raise EngineError(f"dockerd does not start; its log ends with:\n{tail}")
            time.sleep(0.5)

    def _stop(self) -> None:
        if self._pid_file.exists():
            pid = int(self._pid_file.read_text())
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + START_SECONDS
            # The daemon removes the file as the last thing.
            while self._pid_file.exists() and time.monotonic() < deadline:
                time.sleep(0.2)
        # The engine leaves the network namespace of the host mounted there.
        namespace = str(self._folder / "exec/netns/default")
        _ = subprocess.run(["umount", namespace], check=False, capture_output=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(
        self,
        command: Sequence[str],
        *,
        quiet: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        output = subprocess.DEVNULL if quiet else None
        return subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={
                **os.environ,
                "DOCKER_HOST": self._url,
                # The builder of the engine itself: the newer one is a program of its own.
                "DOCKER_BUILDKIT": "0",
                **(environment or {}),
            },
        )

    def docker(self, *arguments: str) -> None:
        """`docker …`. Raises: `EngineError` when it fails."""
        if self._run(["docker", *arguments]).returncode != 0:
            raise EngineError(f"docker {' '.join(arguments[:3])} … failed")

    def ask(self, *arguments: str) -> str:
        """What `docker …` prints. Raises: `EngineError` when it fails."""
        environment = {**os.environ, "DOCKER_HOST": self._url}
        done = subprocess.run(
            ["docker", *arguments], check=False, capture_output=True, env=environment, text=True
        )
        if done.returncode != 0:
            raise EngineError(f"docker {' '.join(arguments[:3])} … failed: {done.stderr.strip()}")
        return done.stdout

    def compose(self, *arguments: str, environment: Mapping[str, str]) -> None:
        """`docker compose …`. Raises: `EngineError` when it fails."""
        program = str(self._cache / "bin/docker-compose")
        done = self._run([program, *arguments], environment=environment)
        if done.returncode != 0:
            raise EngineError(f"docker compose {' '.join(arguments[:6])} … failed")
