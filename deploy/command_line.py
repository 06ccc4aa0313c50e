"""What the commands of `deploy` share: options, and errors as sentences instead of tracebacks."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from deploy.errors import DeployError
from deploy.processes import REGION_PORT_OFFSET

HIGHEST_PORT = 65_535 - REGION_PORT_OFFSET
"""Every other port is the gateway's plus an offset, and the region's offset is the largest."""


def new_command() -> typer.Typer:
    """A command that prints plain text."""
    return typer.Typer(
        add_completion=False,
        # Rich would break the lines of errors inside a box, and Chinese text does not fit into it.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


def parse_port(value: str | int) -> int:
    """The port of a gateway. Raises: `typer.BadParameter`."""
    text = str(value)
    # `isdecimal` alone also takes the digits of other scripts.
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= HIGHEST_PORT:
        return int(text)
    raise typer.BadParameter(
        f"端口须是 1 到 {HIGHEST_PORT} 之间的整数,而不是 {text!r}"
        f" / the port must be a whole number from 1 to {HIGHEST_PORT}"
    )


GatewayPort = Annotated[
    int, typer.Option("--port", parser=parse_port, metavar="PORT", help="port of the gateway")
]
DataRoot = Annotated[
    Path, typer.Option("--data", metavar="FOLDER", help="folder below which all data lie")
]


@contextmanager
def explained_errors(
    folder: Path | None = None, *, more: type[Exception] = DeployError
) -> Generator[None]:
    """End the command with status 1 and a sentence where the user can mend the cause.

    `folder` is named when the operating system refuses something; `more` is a further kind of
    error whose text is such a sentence.
    """
    try:
        yield
    except (DeployError, more) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        if folder is None:
            raise
        typer.echo(f"无法使用 {folder} / cannot use {folder}: {error.strerror}", err=True)
        raise typer.Exit(1) from None
