"""The operator's two views of a platform: `tongban status`, and Prometheus with the alert rules."""

import json
import re
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

import orjson
import yaml
from typer.testing import CliRunner

from deploy.broker import die_with_parent
from deploy.operate import monitoring
from deploy.operate.__main__ import cli
from deploy.postgres import free_port
from deploy.stack import Stack
from tests.builders.monitoring import program
from tests.faults.platform import until

SCRAPE = 5
"""Seconds; a measurement takes up to four while a part is away."""
QUIET = {"BackupUnknown"}
"""Symptoms that a platform without a backup always has."""


@dataclass
class Status:
    """What `tongban status` said."""

    code: int
    named: set[tuple[str, str]]
    """Symptom and part."""
    entries: set[str] = field(default_factory=set[str])

    @property
    def symptoms(self) -> set[str]:
        return {symptom for symptom, _ in self.named}


def status(stack: Stack) -> Status:
    """Run the command on all processes that the stack lists."""
    urls = [f"{name}=http://127.0.0.1:{one.operator_port}" for name, one in stack.listed.items()]
    done = CliRunner().invoke(cli, ["status", "--json", "--urls", ",".join(urls)])
    found = json.loads(done.output)["findings"]
    named = {(one["symptom"], one["part"]) for one in found if one["symptom"] not in QUIET}
    return Status(done.exit_code, named, {one["runbook"] for one in found})


class Prometheus:
    """The real one, scraping a stack, with the project's rules in which no alert waits."""

    def __init__(self, folder: Path, stack: Stack) -> None:
        self._folder = folder
        self._stack = stack
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        rules = re.sub(r"for: \w+", "for: 0s", monitoring.rules().decode())
        _ = (self._folder / "alerts.yml").write_text(rules)
        targets = [f"127.0.0.1:{one.operator_port}" for one in self._stack.listed.values()]
        interval = f"{SCRAPE}s"
        document = {
            "global": {
                "scrape_interval": interval,
                "scrape_timeout": interval,
                "evaluation_interval": "1s",
            },
            "rule_files": ["alerts.yml"],
            "scrape_configs": [{"job_name": "tongban", "static_configs": [{"targets": targets}]}],
        }
        configuration = self._folder / "prometheus.yml"
        _ = configuration.write_text(yaml.safe_dump(document))
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program("prometheus"),
                    f"--config.file={configuration}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
            )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        _ = self._process.wait(20)

    def firing(self) -> dict[str, str]:
        """The alerts that fire, with the runbook entry of each."""
        found: dict[str, str] = {}
        with suppress(OSError), urlopen(f"http://127.0.0.1:{self._port}/api/v1/alerts") as answer:
            document: Any = orjson.loads(answer.read())
            for alert in document["data"]["alerts"]:
                name = alert["labels"]["alertname"]
                if alert["state"] == "firing" and name not in QUIET:
                    found[name] = alert["annotations"]["runbook"]
        return found

    def has_read(self) -> bool:
        """Whether every process was scraped at least once."""
        with suppress(OSError), urlopen(f"http://127.0.0.1:{self._port}/api/v1/targets") as answer:
            document: Any = orjson.loads(answer.read())
            return all(one["health"] == "up" for one in document["data"]["activeTargets"])
        return False

    def wait_for(self, symptom: str, seconds: float = 60) -> str:
        """Until the alert fires; its runbook entry."""
        return until(f"{symptom} fires", lambda: self.firing().get(symptom), seconds)

    def wait_until_quiet(self, seconds: float = 90) -> None:
        _ = until(f"no alert, not {self.firing()}", lambda: not self.firing(), seconds)
