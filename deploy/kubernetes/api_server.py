"""A real Kubernetes API server on loopback, with etcd, that takes objects by dry run."""

import secrets
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import httpx
import orjson

from deploy.broker import die_with_parent
from deploy.errors import DeployError
from deploy.postgres import free_port

START_SECONDS = 180.0
NAMESPACE = "tongban"
PATHS = {
    "v1/Service": "/api/v1/namespaces/{}/services",
    "apps/v1/Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "autoscaling/v2/HorizontalPodAutoscaler": (
        "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers"
    ),
    "batch/v1/Job": "/apis/batch/v1/namespaces/{}/jobs",
    "networking.k8s.io/v1/Ingress": "/apis/networking.k8s.io/v1/namespaces/{}/ingresses",
    "networking.k8s.io/v1/NetworkPolicy": (
        "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies"
    ),
    "policy/v1/PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
}
"""Where objects of a kind are applied."""


class KubernetesError(DeployError):
    """A tool is missing, or the chart is refused."""


class ApiServer:
    """etcd and kube-apiserver with their data in `folder`; they end with the block.

    The namespace warns of every pod that does not keep to the policy `restricted`.
    """

    def __init__(self, program: Path, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._token = secrets.token_hex(16)
        self._running: list[subprocess.Popen[bytes]] = []
        url = f"https://127.0.0.1:{free_port()}"
        self._client = httpx.Client(
            base_url=url,
            verify=False,  # noqa: S501 - it signs its own certificate, and is on loopback
            trust_env=False,
            timeout=60,
            headers={"Authorization": f"Bearer {self._token}"},
        )

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _launch(self, name: str, command: list[str]) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
            )
        self._running.append(process)

    def _start(self) -> None:
        store = f"http://127.0.0.1:{free_port()}"
        self._start_store(store)
        self._start_server(store)
        self._wait()
        self._make_namespace()

    def _start_store(self, store: str) -> None:
        peer = f"http://127.0.0.1:{free_port()}"
        self._launch(
            "etcd",
            [
                "etcd",
                f"--data-dir={self._folder / 'etcd'}",
                f"--listen-client-urls={store}",
                f"--advertise-client-urls={store}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
            ],
        )

    def _start_server(self, store: str) -> None:
        key = self._folder / "service-accounts.key"
        make_key = ["openssl", "genrsa", "-out", str(key), "2048"]
        _ = subprocess.run(make_key, check=True, capture_output=True)
        tokens = self._folder / "tokens.csv"
        _ = tokens.write_text(f"{self._token},tester,tester,system:masters\n")
        self._launch(
            "kube-apiserver",
            [
                str(self._program),
                f"--etcd-servers={store}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                f"--secure-port={self._client.base_url.port}",
                f"--cert-dir={self._folder / 'certificates'}",
                f"--token-auth-file={tokens}",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--service-cluster-ip-range=10.96.0.0/16",
            ],
        )

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            ended = any(process.poll() is not None for process in self._running)
            if ended or time.monotonic() > deadline:
                tail = (self._folder / "kube-apiserver.log").read_text(errors="replace")[-1500:]
                raise KubernetesError(f"the API server does not start:\n{tail}")
            time.sleep(0.5)

    def _is_ready(self) -> bool:
        try:
            return self._client.get("/readyz").is_success
        except httpx.HTTPError:
            return False

    def _make_namespace(self) -> None:
        policy = {"pod-security.kubernetes.io/warn": "restricted"}
        body = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": policy},
        }
        _ = self._client.post("/api/v1/namespaces", json=body).raise_for_status()

    def version(self) -> str:
        """What the server says of itself."""
        found: dict[str, str] = self._client.get("/version").raise_for_status().json()
        return found["gitVersion"]

    def fault_of(self, kind: str, name: str, *, document: Mapping[str, object]) -> str:
        """Why the server refuses an object or warns of it; empty when it takes it.

        `kind` is apiVersion and kind. The object is applied by a strict dry run on the server.
        """
        path = PATHS[kind].format(NAMESPACE)
        answer = self._client.patch(
            f"{path}/{name}",
            params={"dryRun": "All", "fieldManager": "tongban", "fieldValidation": "Strict"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            content=orjson.dumps(document),  # JSON is YAML
        )
        if not answer.is_success:
            return f"{answer.status_code}: {answer.text[:600]}"
        return answer.headers.get("warning", "")

    def _stop(self) -> None:
        self._client.close()
        for process in reversed(self._running):
            process.terminate()
            try:
                _ = process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                _ = process.wait()
