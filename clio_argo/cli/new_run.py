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
from clio_argo.model.unique_id import MARK, id_in, is_unique, new_id, plain_name

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
    """Where a run is made, and its request. `id` is the new id in the place, None if it was given as it is."""

    root: str
    request: Request
    id: str | None = None


@contextmanager
def place_of(out: str, request: Request, unique: bool = False) -> Iterator[Place]:
    """The place that `--out` gives, `{id}` in it and in `buckets` replaced by a new id of the request's name.

    A person is told the place, and, if the command ends early, how to go on: the same command would make another run.

    unique: give a place without `{id}` a folder of that name.
    Raises `UserError` if `buckets` hold `{id}` and the place has no id.
    """
    if unique and MARK not in out:
        out = f"{out.rstrip('/')}/{MARK}"
    name = plain_name(request.id)
    # an id of `new-id` is that of one run, and the same command goes on with it
    known = request.id if is_unique(request.id) else None
    if known or MARK not in out:
        known = known or id_in(out, name)
        yield Place(out.replace(MARK, known or MARK), _in_buckets(request, known))
        return
    made = new_id(name)
    place = Place(out.replace(MARK, made), _in_buckets(request, made), made)
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


def _in_buckets(request: Request, made: str | None) -> Request:
    """The request with the id of its run in the folders of `buckets`. Raises `UserError` if it has none."""
    marked = {name: folder for name, folder in request.buckets if folder and MARK in folder}
    if marked and made is None:
        names = ", ".join(f"buckets.{name}" for name in marked)
        raise UserError(f"{names}: {MARK} stands for the id of the run, which has none; write {MARK} in --out, too")
    folders = {name: folder.replace(MARK, str(made)) for name, folder in marked.items()}
    return request.model_copy(update={"buckets": request.buckets.model_copy(update=folders)})


def _without_place(argv: Sequence[str]) -> list[str]:
    """The words behind the program's name, less the place of the run."""
    left_out = (*PLACES, UNIQUE)
    return [
        word
        for before, word in pairwise(argv)
        if before not in PLACES and word not in left_out and not word.startswith(tuple(f"{p}=" for p in PLACES))
    ]
