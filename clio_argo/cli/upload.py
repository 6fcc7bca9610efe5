"""`clio-argo upload`: slices of this machine into a bucket, without the tools of its store."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from typer import Argument, Option

from clio_argo.cli.commands import MAKE, command
from clio_argo.cli.console import literal, program, show
from clio_argo.cli.options import Form
from clio_argo.errors import ClioError, UserError, printable
from clio_argo.model.base import counted, few

if TYPE_CHECKING:
    from clio_argo.store.uploads import Comparison, File

commands = typer.Typer()
# between two lines in a log, which an upload of a day then fills with fewer than 10,000
EVERY_S = 10
# names of a line
SHOWN = 5


@command(commands, MAKE)
def upload(
    folder: Annotated[Path, Argument(help="Folder, or one file.", metavar="DIR")],
    to: Annotated[str, Argument(help="Folder in a bucket: gs://BUCKET/PATH or s3://BUCKET/PATH.")],
    replace: Annotated[bool, Option("--replace", help="Replace objects whose contents are not those of DIR.")] = False,
    keep_others: Annotated[
        bool, Option("--keep-others", help="Upload beside objects that are not in DIR; they stay.")] = False,
    follow_links: Annotated[bool, Option("--follow-links", help="Take files that links lead to.")] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Say what would be done; write nothing.")] = False,
    output: Form = None,
) -> None:  # fmt: skip
    """Copy the files of a folder into a bucket. The same command again sends what is not there yet.

    Size and CRC32C of every object are compared with the file. Hidden files, links, and files that a transfer is still
    writing are left out, and said.
    """
    from clio_argo.store.documents import Store
    from clio_argo.store.uploads import compare, files_in, problems_of, send

    files, left_out = files_in(folder, follow_links)
    store = Store(to)
    with Meter("compare") as meter:
        found = compare(store, files, meter.tell)
    chosen = [*((f, None) for f in found.missing), *found.other.values()]
    value = {"to": store.url, **_counts(files, found), "left_out": left_out, "dry_run": dry_run}
    if not output:
        _print(_summary(store.url, files, found, left_out))
    _refuse(store.url, found, replace, keep_others)
    if not dry_run and chosen:
        with Meter("upload", _bytes(f for f, _ in chosen)) as meter:
            sent = list(send(store, chosen, meter.tell))
        if problems := problems_of(store, sent):
            raise ClioError("\n".join(["not all objects are what the files are:", *(f"  - {p}" for p in problems)]))
    show(value, output, lambda: map(literal, _end(store.url, [f for f, _ in chosen], dry_run)))


def _refuse(url: str, found: "Comparison", replace: bool, keep_others: bool) -> None:
    """Raise `UserError` if the place holds something else, unless that was asked for."""
    problems = []
    if found.beside and not keep_others:
        names = printable(few(found.beside, SHOWN))
        problems.append(f"{counted(len(found.beside), 'object')} not in DIR: {names} (--keep-others leaves them there)")
    if found.other and not replace:
        names = printable(few(list(found.other), SHOWN))
        problems.append(f"{counted(len(found.other), 'object')} with other contents: {names} (--replace replaces them)")
    if problems:
        raise UserError.all(
            f"{url} holds something else, nothing was written; choose another place, or look at:", problems
        )


def _bytes(files: "Iterator[File] | Sequence[File]") -> int:
    return sum(f.size for f in files)


def _counts(files: "Sequence[File]", found: "Comparison") -> dict[str, object]:
    missing, other = found.missing, [f for f, _ in found.other.values()]
    kinds = {"files": files, "present": found.present, "missing": missing, "other": other}
    counts = {name: {"files": len(of), "bytes": _bytes(of)} for name, of in kinds.items()}
    return {**counts, "beside": len(found.beside)}


def _summary(
    url: str, files: "Sequence[File]", found: "Comparison", left_out: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    yield f"{_amount(files)} for {url}: {_amount(found.present)} of them there already"
    for reason, names in left_out.items():
        yield f"left out: {reason} ({len(names)}): {printable(few(names, SHOWN))}"


def _end(url: str, chosen: "Sequence[File]", dry_run: bool) -> Iterator[str]:
    if dry_run:
        yield f"{_amount(chosen)} would be sent"
        return
    yield f"{_amount(chosen)} sent; sizes and CRC32C of all objects are those of the files"
    yield f"Next: {program()} init {quote(url)} -o FILE.yaml looks at them, and writes a request to start from."


def _amount(files: "Sequence[File]") -> str:
    from clio_argo.cli.views import human_size

    return f"{counted(len(files), 'file')} ({human_size(_bytes(files))})"


def _print(lines: Iterator[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr, flush=True)


class Meter:
    """Bytes, rate and time left: a bar on a terminal, else a line every ten seconds."""

    def __init__(self, what: str, total: int | None = None) -> None:
        columns = (BarColumn(bar_width=30), DownloadColumn(), TransferSpeedColumn(), TextColumn("left"))
        self._bars = Progress(
            TextColumn("{task.description:<8}"), *columns, TimeRemainingColumn(),
            console=Console(stderr=True), disable=not sys.stderr.isatty(),
        )  # fmt: skip
        self._task = self._bars.add_task(what, total=total)
        self._said = time.monotonic()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._bars.stop()

    def tell(self, count: int) -> None:
        """Add bytes that were read, from any thread."""
        self._bars.advance(self._task, count)
        if self._bars.disable and time.monotonic() > self._said + EVERY_S:
            self._said = time.monotonic()
            print(self._line(), file=sys.stderr, flush=True)

    def _line(self) -> str:
        from clio_argo.cli.views import human_size

        task = self._bars.tasks[0]
        left = f", {task.time_remaining:.0f} s left" if task.time_remaining is not None else ""
        amount = human_size(task.completed) + (f" of {human_size(task.total)}" if task.total else "")
        return f"{task.description}: {amount}, {human_size(task.speed or 0)}/s{left}"
