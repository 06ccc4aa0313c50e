"""`make kubernetes`, or `python -m deploy.kubernetes --help`: the chart before those who judge it.

Helm's linter, the schemas of Kubernetes, and a real API server by strict dry run, in a namespace
that asks for the policy `restricted`; with the least settings and with everything on. Each judge is
shown a planted fault first. A result that is right is written into `docs/conformance.md`.
"""

import copy
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from deploy.command_line import explained_errors, new_command
from deploy.conformance import Check, record
from deploy.kubernetes.api_server import ApiServer, KubernetesError
from deploy.versions import ROOT

FOLDER = Path(__file__).resolve().parent
CHART = ROOT / "deploy/chart"
CACHE = Path("/var/tmp/tongban-containers")  # noqa: S108 - for all clones of this machine
HELM = str(CACHE / "bin/helm")
VALIDATE = str(CACHE / "kubernetes-validate/bin/kubernetes-validate")
VERSION = "1.31.4"
LEAST = ("publicUrl=https://zw.example.gov.cn", "uploads.url=s3://uploads/tongban")
EVERYTHING = (
    "publicUrl=https://zw.example.gov.cn",
    "uploads.claim=uploads",
    "image.digest=sha256:" + "0" * 64,
    "regionalUrl=https://region.example.gov.cn",
    "ingress.enabled=true",
    "ingress.host=zw.example.gov.cn",
    "ingress.tlsSecret=tls",
    "autoscaling.api.enabled=true",
    "autoscaling.gateway.enabled=true",
    "autoscaling.worker.enabled=true",
)
# `Any`: a manifest is whatever the chart makes; the judges say whether it is right.
Manifest = dict[str, Any]


def _run(*command: str) -> str:
    """What a command prints. Raises: `KubernetesError` when it fails."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise KubernetesError(f"{' '.join(command[:3])} …:\n{done.stdout}{done.stderr}")
    return done.stdout


def render(settings: Sequence[str]) -> str:
    """The manifests of the chart. Raises: `KubernetesError` where the chart refuses."""
    options = [f"--set={setting}" for setting in settings]
    version = f"--kube-version={VERSION}"
    return _run(HELM, "template", "tongban", str(CHART), version, *options)


def manifests(text: str) -> Iterator[Manifest]:
    for document in yaml.safe_load_all(text):
        if document:
            yield document


def _check_refusals() -> None:
    """The chart itself says what is missing."""
    for settings, word in ((LEAST[1:], "publicUrl"), (LEAST[:1], "uploads")):
        try:
            _ = render(settings)
        except KubernetesError as error:
            if word in str(error):
                continue
        raise KubernetesError(f"the chart does not ask for {word}")


def _check_schemas(text: str, folder: Path) -> None:
    file = folder / "manifests.yaml"
    _ = file.write_text(text, encoding="utf-8")
    command = [VALIDATE, "--strict", "--quiet", f"--kubernetes-version={VERSION[:4]}"]
    _ = _run(*command, str(file))
    # The judge is awake.
    _ = file.write_text(text.replace("revisionHistoryLimit", "revisionHistoryLimits"))
    if subprocess.run([*command, str(file)], check=False, capture_output=True).returncode == 0:
        raise KubernetesError("a misspelt field passes the schemas")


def _check_on(server: ApiServer, documents: Sequence[Manifest]) -> None:
    faults: list[str] = []
    for document in documents:
        fault = _fault(server, document)
        if fault:
            faults.append(f"{document['kind']} {document['metadata']['name']}: {fault}")
    if faults:
        raise KubernetesError("\n".join(faults))


def _fault(server: ApiServer, document: Manifest) -> str:
    kind = f"{document['apiVersion']}/{document['kind']}"
    return server.fault_of(kind, document["metadata"]["name"], document=document)


def _check_server_is_awake(server: ApiServer, documents: Sequence[Manifest]) -> None:
    deployment = next(one for one in documents if one["kind"] == "Deployment")
    misspelt = copy.deepcopy(deployment)
    misspelt["spec"]["replica"] = 1
    privileged = copy.deepcopy(deployment)
    (container,) = privileged["spec"]["template"]["spec"]["containers"]
    container["securityContext"] = {"privileged": True}
    for planted in (misspelt, privileged):
        if not _fault(server, planted):
            raise KubernetesError("a planted fault passes the API server")


def _try_everything(folder: Path) -> str:
    for settings in (LEAST, EVERYTHING):
        options = [f"--set={setting}" for setting in settings]
        _ = _run(HELM, "lint", "--strict", str(CHART), f"--kube-version={VERSION}", *options)
    _check_refusals()
    rendered = [render(LEAST), render(EVERYTHING)]
    for text in rendered:
        _check_schemas(text, folder)
    numbers: list[str] = []
    with ApiServer(CACHE / "bin/kube-apiserver", folder) as server:
        version = server.version()
        for text in rendered:
            documents = list(manifests(text))
            _check_server_is_awake(server, documents)
            _check_on(server, documents)
            numbers.append(str(len(documents)))
    return (
        f"{' and '.join(numbers)} objects (least, everything on) pass Helm's linter, the schemas of"
        f" {VERSION[:4]} and a strict dry run on kube-apiserver {version} under the policy"
        " `restricted`; pods were not run"
    )


cli = new_command()


@cli.command()
def main(
    *,
    recorded: Annotated[
        bool, typer.Option("--record/--no-record", help="write the result into conformance.md")
    ] = True,
) -> None:
    """Show the chart to Helm, to the schemas of Kubernetes and to a real API server."""
    with explained_errors():
        prepare = ["bash", str(FOLDER / "prepare.sh"), str(CACHE)]
        if subprocess.run(prepare, check=False).returncode != 0:
            raise KubernetesError("the tools could not be installed")
        with tempfile.TemporaryDirectory(prefix="tongban-kubernetes-") as name:
            result = _try_everything(Path(name))
        print(result, flush=True)
        if recorded:
            record(Check.KUBERNETES, result)


if __name__ == "__main__":
    cli()
