"""How commands print: tables without borders, no broken lines, commands that can be typed; JSON or YAML on request."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from shlex import quote
from typing import Any

import typer
import yaml
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

# Wider than any line that is printed: programs that read a pipe take one line for one row, and people copy links and
# commands, which a terminal breaks without adding anything.
UNWRAPPED = 10_000
NAME = "clio-argo"


def literal(text: str) -> str:
    """Text in which nothing is taken for markup or a terminal's control character."""
    return escape("".join(c if c.isprintable() else "?" for c in text))


def indented(text: str) -> str:
    """A message of several lines below each other, those after the first set in."""
    return "\n    ".join(line for line in text.splitlines() if line.strip())


def lines(text: str) -> str:
    """As `literal`, with the line breaks of a message."""
    return "\n    ".join(map(literal, indented(text).split("\n    ")))


def console(wrapped: bool = False) -> Console:
    """Standard output. wrapped: whether lines end at the terminal's edge, as a view that renews itself needs."""
    return Console(highlight=False, width=None if wrapped and sys.stdout.isatty() else UNWRAPPED)


def table(*columns: str) -> Table:
    """An empty table; without names of columns it has no header."""
    empty = Table(box=None, pad_edge=False, header_style="bold", show_header=bool(columns))
    for name in columns:
        empty.add_column(name, overflow="fold", no_wrap=name == "name")
    return empty


def facts(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    """A table of names and values; strings are shown as they are."""
    pairs = table()
    pairs.add_column(style="bold", no_wrap=True)
    pairs.add_column(overflow="fold")
    for name, value in rows:
        pairs.add_row(literal(name), literal(value) if isinstance(value, str) else value)
    return pairs


def document(value: Any, form: str) -> str:
    """Kubernetes objects or other plain data as `-o` asks for: name, json or yaml."""
    if form == "name":
        return "\n".join(w["metadata"]["name"] for w in (value if isinstance(value, list) else [value]))
    text = json.dumps(value, indent=2)
    # YAML takes plain dictionaries only, which libraries' own kinds become by way of JSON
    return (
        text if form == "json" else yaml.safe_dump(json.loads(text), sort_keys=False, allow_unicode=True).rstrip("\n")
    )


def show(value: Any, form: str | None, view: Callable[[], Iterable[RenderableType]]) -> None:
    """Print plain data as JSON or YAML if a form is given, else its view for people."""
    if form:
        print(document(value, form))
        return
    tell(view(), console())


def tell(parts: Iterable[RenderableType], out: Console) -> None:
    """Print for people, without the blanks with which tables fill their last column."""
    with out.capture() as text:
        for part in parts:
            out.print(part)
    out.file.writelines(f"{line.rstrip()}\n" for line in text.get().splitlines())


def tell_wait(source: str) -> None:
    """Say what a command is about to wait for: a bucket answers late, or never."""
    if "://" in source:
        print(f"reading the headers of {source} ...", file=sys.stderr, flush=True)


def program() -> str:
    """What the person who typed this command types for another one: the name, or the path where no PATH leads there."""
    called, found = Path(sys.argv[0]).absolute(), shutil.which(NAME)
    if called.name != NAME or not called.exists() or (found and called.samefile(found)):
        return NAME
    typed = short_path(str(called))
    return quote(typed if os.sep in typed else os.path.join(os.curdir, typed))  # noqa: PTH118, a Path has no ./


def typed(verb: str, instead: str = "", without: Sequence[str] = ()) -> str:
    """The command of this process, `verb`, as it was typed, or with another verb `instead`.

    without: options that are left out, with their values.
    """
    words = sys.argv[1:]
    if verb in words:
        words[words.index(verb)] = instead or verb
        kept = (w for before, w in pairwise(["", *words])
                if before not in without and w not in without and w.partition("=")[0] not in without)  # fmt: skip
        return " ".join([program(), *map(quote, kept)])
    return f"{program()} {instead or verb}"


def as_typed(text: str) -> str:
    """A command of this program as it is typed here; anything else, such as a link, as it is."""
    return f"{program()}{text.removeprefix(NAME)}" if text.startswith(f"{NAME} ") else text


def short_path(path: str) -> str:
    """An absolute path as it is typed from the current folder, if it leads into it."""
    short = os.path.relpath(path)
    return path if short.startswith("..") else short


def hint(verb: str, name: str, flags: str) -> str:
    """A command on a workflow, for people to copy."""
    return f"{program()} workflow {verb} {name} {flags}"


def exit_unless(success: bool) -> None:
    """End the command with exit code 1 unless it succeeded."""
    if not success:
        raise typer.Exit(1)
