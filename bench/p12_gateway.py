"""P12: the gateway against nginx.

GET of 1 KB from the same small upstream, 32 connections, a token that is in the cache.

One gateway worker and one nginx worker stand before the same upstream (a second nginx). Rounds
alternate; the ratio is CPU seconds per request. The load comes from `wrk`.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from urllib.error import URLError
from urllib.request import urlopen

import orjson

from bench import proc
from bench.harness import ROOT, Figure, Options, at_most, run, scratch
from bench.seed_data import NO_LIMITS
from bench.stack_fixture import jwks, token
from deploy.broker import die_with_parent
from deploy.postgres import free_port
from shared.city import SAMPLE

CONNECTIONS = 32
PATH = "/api/v1/cases/files/019a0000-0000-7000-8000-000000000000"
COMMON = """
daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log {folder}/{name}.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 300;
  client_body_temp_path {folder}/{name}-body; proxy_temp_path {folder}/{name}-proxy;
  fastcgi_temp_path {folder}/{name}-f;
  uwsgi_temp_path {folder}/{name}-u; scgi_temp_path {folder}/{name}-s;
  {http}
}}
"""
UPSTREAM = """
server {{ listen 127.0.0.1:{port} backlog=1024; default_type application/json;
  location /api {{ return 200 '{body}'; }}
  location = /jwks {{ return 200 '{jwks}'; }}
  location /revocations {{ return 200 '{{"items":[],"next":"0"}}'; }} }}
"""
PROXY = """
upstream small {{ server 127.0.0.1:{upstream}; keepalive 64; }}
server {{ listen 127.0.0.1:{port} backlog=1024;
  location / {{ proxy_pass http://small; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Request-Id $request_id; }} }}
"""


def need(*programs: str) -> None:
    """Install what is missing when we may (`nginx`, `wrk`), else say so."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        packages = ["nginx-light" if name == "nginx" else name for name in missing]
        _ = subprocess.run(
            ["apt-get", "install", "-y", "-qq", *packages], check=False, capture_output=True
        )
    if missing := [name for name in programs if shutil.which(name) is None]:
        raise SystemExit(f"{' and '.join(missing)} missing: apt-get install nginx-light wrk")


@contextmanager
def _running(
    command: Sequence[str], url: str, environment: dict[str, str] | None = None
) -> Generator[int]:
    """A process that answers at `url`, ended afterwards; its id."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **(environment or {})},
        preexec_fn=die_with_parent,
    )
    try:
        for _ in range(200):
            try:
                with urlopen(url, timeout=1):
                    break
            except (URLError, OSError):
                time.sleep(0.05)
        else:
            raise SystemExit(f"{command[0]} does not answer at {url}")
        yield process.pid
    finally:
        process.terminate()
        _ = process.wait(10)


def _nginx(folder: Path, name: str, http: str) -> list[str]:
    path = folder / f"{name}.conf"
    _ = path.write_text(COMMON.format(folder=folder, name=name, http=http))
    return ["nginx", "-p", str(folder), "-e", str(folder / f"{name}.log"), "-c", str(path)]


def _wrk(port: int, seconds: float, header: str) -> int:
    """Requests answered; any failure ends the benchmark."""
    command = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds:.0f}s",
        "-H",
        f"Authorization: {header}",
    ]
    out = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{PATH}"], capture_output=True, text=True, check=True
    ).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(f"requests failed:\n{out}")
    found = re.search(r"(\d+) requests in", out)
    assert found is not None, out
    return int(found[1])


def _costs(
    pids: dict[str, int], ports: dict[str, int], options: Options
) -> dict[str, list[tuple[float, float]]]:
    """Per round and proxy: CPU seconds per 1,000 requests, requests a second."""
    header, seconds = token()["authorization"], options.pick(2.0, 1.0)
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in pids}
    for port in ports.values():
        _ = _wrk(port, 1, header)
    for _ in range(options.pick(12, 1)):  # short turns, because the machine's pace changes
        for name, pid in pids.items():
            before = proc.cpu_seconds(pid)
            count = _wrk(ports[name], seconds, header)
            costs[name].append(((proc.cpu_seconds(pid) - before) / count * 1000, count / seconds))
    return costs


def measure(options: Options) -> Sequence[Figure]:
    need("nginx", "wrk")
    ports = {"nginx": free_port(), "gateway": free_port()}
    upstream = free_port()
    environment = {
        **NO_LIMITS,
        "GATEWAY_CITY_FILE": str(SAMPLE),
        "GATEWAY_PORT": str(ports["gateway"]),
        "GATEWAY_UPSTREAMS": orjson.dumps({"cases": f"http://127.0.0.1:{upstream}"}).decode(),
        "GATEWAY_JWKS_URL": f"http://127.0.0.1:{upstream}/jwks",
        "GATEWAY_REVOCATIONS_URL": f"http://127.0.0.1:{upstream}/revocations",
    }
    with scratch() as folder, ExitStack() as stack:
        folder.chmod(0o755)
        served = UPSTREAM.format(port=upstream, body="x" * 1024, jwks=orjson.dumps(jwks()).decode())
        proxied = PROXY.format(port=ports["nginx"], upstream=upstream)
        _ = stack.enter_context(
            _running(_nginx(folder, "upstream", served), f"http://127.0.0.1:{upstream}/jwks")
        )
        nginx = _running(
            _nginx(folder, "proxy", proxied), f"http://127.0.0.1:{ports['nginx']}/jwks"
        )
        gateway = _running(
            [sys.executable, "-m", "gateway.main"],
            f"http://127.0.0.1:{ports['gateway']}/readyz",
            environment,
        )
        pids = {"nginx": stack.enter_context(nginx), "gateway": stack.enter_context(gateway)}
        costs = _costs(pids, ports, options)
    ratios = [g[0] / n[0] for g, n in zip(costs["gateway"], costs["nginx"], strict=True)]
    return [
        at_most("CPU per request ÷ nginx's (median of rounds)", median(ratios), "×", 10, 4.5),
        Figure("smallest ratio", min(ratios), "×"),
        Figure("largest ratio", max(ratios), "×"),
        *(
            Figure(f"CPU per 1,000: {name}", median(c for c, _ in rounds), "s")
            for name, rounds in costs.items()
        ),
        *(
            Figure(f"requests: {name}", median(r for _, r in rounds), "/s")
            for name, rounds in costs.items()
        ),
    ]


if __name__ == "__main__":
    run("P12", "gateway against nginx: GET 1 KB, 32 connections, token through the cache", measure)
