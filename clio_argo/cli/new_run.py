"""Ids that no second run has: printed, and put in the place of a run."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from shlex import join
from typing import Annotated

import typer
from typer import Argument

from clio_argo.cli.commands import MAKE, command
from clio_argo.cli.console import program
from clio_argo.errors import UserError
from clio_argo.model.request import Request
from clio_argo.model.unique_id import MARK, new_id, plain_name

commands = typer.Typer()
PLACES, UNIQUE = ("--out", "--run"), "--unique"


@command(commands, MAKE, "new-id")
def print_new_id(
    name: Annotated[str, Argument(help="Beginning of the id: lower-case letters, digits and '-'.")],
) -> None:
    """Print NAME and twelve random characters, a new name for a run's folder, a bucket or a workflow."""
    print(new_id(name))


@dataclass(frozen=True)
class Place:
    """Where a run is made. `id` is the new id in it, None in a place that was given as it is."""

    root: str
    id: str | None = None


@contextmanager
def place_of(out: str, request: Request, unique: bool = False) -> Iterator[Place]:
    """The place that `--out` gives, `{id}` in it replaced by a new id of the request's name.

    A person is told the place, and, if the command ends early, how to go on: the same command would make another run.

    unique: give a place without `{id}` a folder of that name.
    """
    if unique and MARK not in out:
        out = f"{out.rstrip('/')}/{MARK}"
    if MARK not in out:
        yield Place(out)
        return
    made = new_id(plain_name(request.id))
    place = Place(out.replace(MARK, made), made)
    go_on = f"go on with it by: {join([program(), *_without_place(sys.argv)])} --out {join([place.root])}"
    print(f"new run: {place.root}\n  {go_on}", file=sys.stderr, flush=True)
    try:
        yield place
    except UserError:
        # refused: nothing was made
        raise
    except BaseException as error:
        error.add_note(f"the run is {place.root}; {go_on}")
        raise


def _without_place(argv: Sequence[str]) -> list[str]:
    """The words behind the program's name, less the place of the run."""
    left_out = (*PLACES, UNIQUE)
    return [
        word
        for before, word in pairwise(argv)
        if before not in PLACES and word not in left_out and not word.startswith(tuple(f"{p}=" for p in PLACES))
    ]
