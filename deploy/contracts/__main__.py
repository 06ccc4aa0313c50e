"""`python -m deploy.contracts`: status 1 and one line per change that this version must not make.

A change that breaks clients or consumers of the newest release needs a higher major version, and
while the platform is at 0.x a higher minor one (docs/api/released, CONTRIBUTING.md). Not compared:
lengths, bounds and patterns of values, and who may call.
"""

from pathlib import Path

import typer

from deploy.command_line import explained_errors, new_command
from deploy.contracts.changes import breaking_changes
from deploy.versions import (
    CONTRACTS,
    KEPT_CONTRACTS,
    Version,
    current_version,
    kept_releases,
)


def forbidden_changes(version: Version, *, released: Path, current: Path = CONTRACTS) -> list[str]:
    """What `version` breaks although it must not; empty while nothing is released."""
    releases = kept_releases(released)
    if not releases or version.may_break(releases[-1]):
        return []
    return breaking_changes(released / str(releases[-1]), current)


cli = new_command()


@cli.command()
def main() -> None:
    """Compare the contracts with those of the newest release."""
    with explained_errors():
        version = current_version()
        faults = forbidden_changes(version, released=KEPT_CONTRACTS)
    for fault in faults:
        typer.echo(fault, err=True)
    if faults:
        typer.echo(f"version {version} must not break contracts of the release before", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    cli()
