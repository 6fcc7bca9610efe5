"""The first command of a person with files: what they hold, three slices in small, and a request to start from."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer
from rich.console import Console
from typer import Argument, Option

from clio_argo.cli.commands import MAKE, command
from clio_argo.cli.console import UNWRAPPED, literal, program, tell, tell_wait
from clio_argo.cli.options import default_id
from clio_argo.errors import UserError
from clio_argo.model.parse_request import parse_setting

commands = typer.Typer()


@command(commands, MAKE)
def init(
    source: Annotated[str, Argument(help="Folder, file or bucket with the slices.")],
    image: Annotated[
        str | None, Option(help="File name pattern of one of several stacks, e.g. 'iso.%05d.png'.")
    ] = None,
    settings: Annotated[
        list[str] | None, Option("--set", help="Any setting, e.g. resolution=8. Can be repeated.")
    ] = None,
    output: Annotated[
        Path | None, Option("-o", "--output", help="File to write the request to; it must be new.")
    ] = None,
) -> None:
    """Look at files for the first time: say what they are, show three slices, write a request to start from."""
    from clio_argo.cli.look import largest_px, look_view
    from clio_argo.workspace.first_look import first_look

    if output and output.exists():
        raise UserError(f"{output}: exists, and is never replaced; give another name, or remove it")
    # nothing that is copied is broken at the edge of a terminal
    out = Console(stderr=output is None, highlight=False, width=UNWRAPPED)
    path = Path(source).absolute()
    given = {"id": default_id(path if path.is_file() else None, str(path)), "source": source}
    given |= {"image": image} if image else {}
    for setting in settings or []:
        given |= parse_setting(setting)
    tell_wait(source)
    look = first_look(given, largest_px())
    tell(look_view(look, out), out)
    if output:
        _write_new(output, look.text)
    else:
        print(look.text, end="")
    look.checked.refuse("; all are above")
    tell([_next(output)], out)


def _next(output: Path | None) -> str:
    if output is None:
        return "Next: the same command with -o FILE.yaml writes this request to a file."
    command, file = program(), quote(str(output))
    return literal(f"Next: open {file}; {command} plan {file} checks it, {command} run {file} --out VOLUME goes on.")


def _write_new(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror}") from error
    print(f"{file}: written")
