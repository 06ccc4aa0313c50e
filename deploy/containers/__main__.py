"""`make containers`, or `python -m deploy.containers --help`: the platform in real containers.

Builds the image, starts `docker-compose.yml` on an engine of its own, plays the demonstration
against it, looks at what the containers may do, and stops everything. A result that is right is
written into `docs/conformance.md`.

The official base images cannot be had everywhere, so stand-ins of Debian's packages are built and
named in their place: what is tried is our files, not theirs.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypedDict

import orjson
import typer

from deploy.command_line import explained_errors, new_command
from deploy.compose import CITY_VOLUME, YamlMap, containers
from deploy.conformance import Check, record
from deploy.containers.engine import Engine, EngineError
from deploy.operate.new_secrets import write_missing
from deploy.processes import processes
from deploy.versions import ROOT, current_version
from shared.city import SAMPLE

FOLDER = Path(__file__).resolve().parent
CACHE = Path("/var/tmp/tongban-containers")  # noqa: S108 - for all clones of this machine
BASE = "tongban-stand-in/debian"
STAND_INS = ("python", "postgres", "kafka")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
KAFKA_LIBRARIES = ROOT / "var/kafka/libs"
WAIT_SECONDS = 900
PATIENT = f"{{start_period: {WAIT_SECONDS}s}}"
"""A machine that is busy with other work starts slowly, and that is no fault of the platform."""
URL = "http://gateway:8000"


def _build_stand_ins(engine: Engine) -> None:
    engine.docker("import", str(CACHE / "trixie.tar"), BASE)
    with tempfile.TemporaryDirectory(prefix="tongban-stand-ins-") as folder:
        context = Path(folder)
        _ = shutil.copytree(FOLDER / "stand_ins", context, dirs_exist_ok=True)
        # Downloads in a build need the authorities that this machine trusts.
        _ = shutil.copyfile(CERTIFICATES, context / CERTIFICATES.name)
        _ = shutil.copytree(KAFKA_LIBRARIES, context / "libs")
        for name in STAND_INS:
            _build(
                engine,
                f"tongban-stand-in/{name}",
                file=context / f"{name}.Dockerfile",
                context=context,
                arguments={"BASE": BASE},
            )


def _build_image(engine: Engine) -> str:
    """Build the image; returns its name."""
    version = str(current_version())
    arguments = {
        "BASE": "tongban-stand-in/python",
        "POSTGRES": "tongban-stand-in/postgres",
        "VERSION": version,
    }
    file = ROOT / "deploy/Dockerfile"
    _build(engine, f"tongban:{version}", file=file, context=ROOT, arguments=arguments)
    return f"tongban:{version}"


def _build(
    engine: Engine, tag: str, *, file: Path, context: Path, arguments: Mapping[str, str]
) -> None:
    options = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    # The network of this machine, because that is where packages can be had.
    where = ["--quiet", "--network=host", f"--tag={tag}", f"--file={file}"]
    engine.docker("build", *where, *options, str(context))


def development_overlay() -> str:
    """What makes the compose file a development system on which the demonstration can be played.

    Exchange, its worker and the demonstration share their loopback, because endpoints of peers may
    lie there in development alone.
    """
    lines = ["services:"]
    for name in ("postgres", "kafka"):
        lines += [f"  {name}:", f"    healthcheck: {PATIENT}"]
    for process in processes():
        lines += [f"  {process.name}:", f"    healthcheck: {PATIENT}"]
        if process.name == "exchange-worker":
            lines += ["    network_mode: service:exchange-api", "    networks: !reset null"]
        prefix = process.service.upper()
        lines += ["    environment:", f"      {prefix}_DEVELOPMENT: 'true'"]
    # JSON is YAML.
    lines.append(f"  demo: {orjson.dumps(_demonstration()).decode()}")
    return "\n".join(lines) + "\n"


def _demonstration() -> YamlMap:
    """A container that has what the operator's has, beside exchange."""
    play = (
        f"python -m deploy.sample --target {URL} --accounts /tmp/accounts.json"
        f" && python -m deploy.demo --target {URL} --accounts /tmp/accounts.json --recount"
    )
    container = dict(containers()["operate"])
    container["volumes"] = [CITY_VOLUME]
    del container["networks"]
    container["profiles"] = ["demo"]
    container["network_mode"] = "service:exchange-api"
    container["entrypoint"] = ["sh", "-c"]
    container["command"] = [play]
    return container


@contextmanager
def _platform(engine: Engine, folder: Path) -> Generator[tuple[list[str], dict[str, str]]]:
    """The compose file up and ready; gives arguments and environment for further commands."""
    secrets = folder / "secrets"
    _ = write_missing(secrets, "postgres:5432")
    overlay = folder / "development.yml"
    _ = overlay.write_text(development_overlay(), encoding="utf-8")
    environment = {
        "SECRETS": str(secrets),
        "BACKUPS": str(folder / "backups"),
        "PUBLIC_URL": URL,
        "CITY": str(SAMPLE.parent),
        "REGIONAL_URL": "http://127.0.0.1:8300",
        "POSTGRES_IMAGE": "tongban-stand-in/postgres",
        "KAFKA_IMAGE": "tongban-stand-in/kafka",
        "GATEWAY_PORT": "8168",
    }
    files = [f"--file={ROOT / 'docker-compose.yml'}", f"--file={overlay}"]
    options = [f"--project-directory={ROOT}", *files]
    try:
        up = ["up", "--detach", "--no-build", "--quiet-pull", "--wait"]
        engine.compose(*options, *up, f"--wait-timeout={WAIT_SECONDS}", environment=environment)
        yield options, environment
    except EngineError:
        engine.compose(*options, "logs", "--tail=100", environment=environment)
        raise
    finally:
        down = ["--profile=demo", "down", "--volumes", "--timeout=30"]
        engine.compose(*options, *down, environment=environment)


class _HostConfig(TypedDict):
    ReadonlyRootfs: bool
    CapDrop: list[str] | None
    SecurityOpt: list[str] | None
    Memory: int
    PidsLimit: int | None
    Privileged: bool


class _Config(TypedDict):
    User: str
    Image: str


class _State(TypedDict):
    Status: str


class _Port(TypedDict):
    HostIp: str


class _NetworkSettings(TypedDict):
    Ports: dict[str, list[_Port] | None]


class _Container(TypedDict):
    """The part of `docker inspect` that is looked at."""

    Name: str
    State: _State
    Config: _Config
    HostConfig: _HostConfig
    NetworkSettings: _NetworkSettings


def faults_of(container: _Container, *, image: str) -> list[str]:
    """What a running container may do and should not."""
    faults: list[str] = []
    host = container["HostConfig"]
    if host["Privileged"]:
        faults.append("is privileged")
    if host["CapDrop"] != ["ALL"]:
        faults.append("keeps capabilities")
    if "no-new-privileges:true" not in (host["SecurityOpt"] or []):
        faults.append("may gain privileges")
    if not host["Memory"] or not host["PidsLimit"]:
        faults.append("has no limits")
    faults += _open_ports(container)
    if container["Config"]["Image"] == image:
        faults += _faults_of_ours(container)
    return faults


def _open_ports(container: _Container) -> list[str]:
    faults: list[str] = []
    for ports in container["NetworkSettings"]["Ports"].values():
        for port in ports or []:
            if port["HostIp"] != "127.0.0.1":
                faults.append(f"listens on {port['HostIp']}")
    return faults


def _faults_of_ours(container: _Container) -> list[str]:
    faults: list[str] = []
    if not container["HostConfig"]["ReadonlyRootfs"]:
        faults.append("can write its root")
    if container["Config"]["User"] != "10001":
        faults.append("runs as another user")
    return faults


def _inspect(engine: Engine, image: str) -> int:
    """Look at every running container; returns their number. Raises: `EngineError`."""
    identifiers = engine.ask("ps", "--quiet", "--filter=label=com.docker.compose.project").split()
    containers: list[_Container] = orjson.loads(engine.ask("inspect", *identifiers))
    faults: list[str] = []
    for container in containers:
        for fault in faults_of(container, image=image):
            faults.append(f"{container['Name']} {fault}")
    # Those that migrate have ended.
    expected = len(processes()) + len(("postgres", "kafka"))
    if len(containers) != expected:
        faults.append(f"{len(containers)} containers run, expected {expected}")
    if faults:
        raise EngineError("; ".join(faults))
    return len(containers)


def _try_everything(engine: Engine, folder: Path) -> str:
    started = time.monotonic()
    _build_stand_ins(engine)
    image = _build_image(engine)
    built = time.monotonic()
    with _platform(engine, folder) as (options, environment):
        ready = time.monotonic()
        number = _inspect(engine, image)
        play = ["--profile=demo", "run", "--rm", "--no-deps", "-T", "demo"]
        engine.compose(*options, *play, environment=environment)
        played = time.monotonic()
    size = int(engine.ask("image", "inspect", "--format={{.Size}}", image))
    return (
        f"image {size / 1e6:.0f} MB, built in {built - started:.0f} s;"
        f" {number} containers ready in {ready - built:.0f} s;"
        f" sample and demo right in {played - ready:.0f} s"
    )


cli = new_command()


@cli.command()
def main(
    *,
    recorded: Annotated[
        bool, typer.Option("--record/--no-record", help="write the result into conformance.md")
    ] = True,
) -> None:
    """Build the image, start the compose file on a real engine, play the demonstration, stop."""
    with explained_errors():
        if os.geteuid() != 0:
            raise EngineError("a container engine of its own needs root")
        prepare = ["bash", str(FOLDER / "prepare.sh"), str(CACHE)]
        if subprocess.run(prepare, check=False).returncode != 0:
            raise EngineError("the tools could not be installed")
        with (
            tempfile.TemporaryDirectory(prefix="tongban-containers-") as name,
            Engine(CACHE) as engine,
        ):
            result = _try_everything(engine, Path(name))
        print(result, flush=True)
        if recorded:
            record(Check.CONTAINERS, result)


if __name__ == "__main__":
    cli()
