"""The first command of a person with files: what they hold, three slices in small, and a request to start from."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from typer import Argument, Option

from clio_argo.cli.commands import MAKE, command
from clio_argo.cli.console import UNWRAPPED, literal, program, tell, tell_wait, typed
from clio_argo.cli.options import default_id
from clio_argo.errors import ClioError, UserError
from clio_argo.model.parse_request import parse_setting

if TYPE_CHECKING:
    from clio_argo.workspace.first_look import FirstLook

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
    options = _options(settings or [], output)
    try:
        look = first_look(given, largest_px())
    except UserError as error:
        raise type(error)(_with_options(str(error), options)) from error
    remarks = [_with_options(remark, options) for remark in look.remarks]
    tell(look_view(replace(look, remarks=remarks), out), out)
    if output:
        _write_new(output, look.text)
    else:
        print(look.text, end="")
    try:
        look.checked.refuse("; all are above")
    except ClioError as error:
        raise type(error)(f"{error}\n{_mend(look, output)}") from error
    tell([literal(_next(output))], out)


def _options(settings: Sequence[str], output: Path | None) -> str:
    return "".join([*(f" --set {quote(s)}" for s in settings), f" -o {quote(str(output))}" if output else ""])


def _with_options(text: str, options: str) -> str:
    """A text in which every offered command, at the end of its line, has the options that were given, too."""
    from clio_argo.workspace.offers import COMMAND

    return re.sub(rf"(?m)(?<=[:-] ){COMMAND} .*$", lambda offer: offer[0] + options, text)


def _next(output: Path | None) -> str:
    if output is None:
        return f"Next: {typed('init')} -o FILE.yaml writes this request to a file."
    command, file = program(), quote(str(output))
    return f"Next: open {file}; {command} plan {file} checks it, {command} run {file} --out VOLUME goes on."


def _mend(look: "FirstLook", output: Path | None) -> str:
    """What to do when `plan` would refuse: accept bad slices if that is all, else mend what was said."""
    checked, command = look.checked, program()
    bad = len(checked.plan.unusable)
    file = quote(str(output)) if output else "FILE.yaml"
    first = "" if output else f"{typed('init')} -o FILE.yaml writes this request to a file; "
    if not checked.faults and len(checked.stops) == 1 and bad > look.request.allowed_bad(checked.plan.depth):
        accept = f"{command} run {file} --out VOLUME --allow-bad-slices {bad}"
        return f"Next: {first}repair the slices, or show others in their place: {accept}"
    return f"Next: {first}mend this, in the files or in {file}; {command} plan {file} checks it."


def _write_new(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror}") from error
    print(f"{file}: written")
