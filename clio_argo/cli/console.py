"""How commands print: tables without lines, JSON or YAML on request, unwrapped lines where no terminal reads them."""

import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

import typer
import yaml
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

# wider than any line that is printed: programs that read a pipe take one line for one row
UNWRAPPED = 10_000


def literal(text: str) -> str:
    """Text in which nothing is taken for markup or a terminal's control character."""
    return escape("".join(c if c.isprintable() else "?" for c in text))


def console() -> Console:
    """Standard output."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else UNWRAPPED)


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


def hint(verb: str, name: str, flags: str) -> str:
    """A command on a workflow, for people to copy."""
    return f"clio-argo workflow {verb} {name} {flags}"


def exit_unless(success: bool) -> None:
    """End the command with exit code 1 unless it succeeded."""
    if not success:
        raise typer.Exit(1)
