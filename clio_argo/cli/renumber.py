"""`renumber`: a folder of numbered files from files in another order."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from typer import Argument, Option

from clio_argo.cli.commands import MAKE, command
from clio_argo.cli.console import console, literal, program, tell

if TYPE_CHECKING:
    from clio_argo.workspace.renumber import Renumbered

commands = typer.Typer()


@command(commands, MAKE)
def renumber(
    source: Annotated[str, Argument(metavar="DIR", help="Folder with the files.")],
    out: Annotated[Path, Argument(metavar="OUT", help="Folder to make; it must not exist, or be empty.")],
    pattern: Annotated[
        str | None, Option(help="printf pattern of the new names. Default: img.%05d and the suffix of the files.")
    ] = None,
    order: Annotated[
        Literal["number", "name", "time"],
        Option(help="By the number in the names, their natural order, or the time of the last change."),
    ] = "number",
    start: Annotated[int, Option(help="Number of the first file.")] = 0,
    gaps: Annotated[
        Literal["keep", "close"] | None,
        Option(help="Numbers that are missing: keep leaves them out, close counts on. Default: they are refused."),
    ] = None,
    link: Annotated[bool, Option("--link/--copy", help="Make symbolic links, or copies.")] = False,
    image: Annotated[str | None, Option(help="File name pattern of one of several stacks.")] = None,
    channels: Annotated[
        str | None, Option(help="Names that {channel} in --image and --pattern stands for, e.g. EM,GFP.")
    ] = None,
    image_regex: Annotated[str | None, Option(help="Regular expression that names of the stack match.")] = None,
    follow_links: Annotated[bool, Option("--follow-links", help="Read links that leave DIR.")] = False,
) -> None:
    """Make a folder in which files are numbered in a row, with a table of what became what. DIR stays as it is."""
    from clio_argo.cli.order import ends_of
    from clio_argo.model.base import few
    from clio_argo.model.parse_request import build_request
    from clio_argo.workspace.renumber import TABLE, renumbering, write_folder

    by = {"order": "number" if order == "number" else "name", "follow_links": follow_links}
    names = {"image": image, "image_regex": image_regex}
    held = {"channels": channels.split(",") if channels else []}
    request = build_request({"id": "renumber", "source": source}, by, names, held)
    what = renumbering(request, order == "time", pattern, start, gaps)
    made = write_folder(what, out, link, lambda rest: _progress(rest, out))
    files, kind = what.files, "links" if link else "copies"
    told = f"{len(files)} {kind} in {out}" + (f", of which {len(files) - made} were there" if made < len(files) else "")
    table = ends_of([(f.name, f.path.name) for f in files], str(out / TABLE), "file", "was")
    more = " --set follow_links=true" if link else ""
    others = f"left out: {few(what.left_out)}" if what.left_out else ""
    tell([table, *([literal(others)] if others else []), literal(f"{told}; {out / TABLE} lists them"),
          literal(f"Next: {program()} init {quote(str(out))}{more}")], console())  # fmt: skip


def _progress(files: "Sequence[Renumbered]", out: Path) -> "Iterable[Renumbered]":
    from rich.console import Console
    from rich.progress import track

    return track(files, f"{out}", console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
