"""`clio-argo register`: a finished run is what a dataset shows in a clio-store."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from clio_argo.cli.commands import LOOK, RunCommand, command
from clio_argo.cli.console import literal, show
from clio_argo.cli.options import Form, Root
from clio_argo.errors import UserError
from clio_argo.model.layout import COMPLETE, CONFIG, VOLUME
from clio_argo.model.request import Request

if TYPE_CHECKING:
    from clio_argo.model.run import Completion

commands = typer.Typer()


@command(commands, LOOK, cls=RunCommand)
def register(
    run: Root,
    store: Annotated[str | None, Option(help="Base URL of the clio-store. Default: register.store of the run.")] = None,
    dataset: Annotated[str | None, Option(help="Id of the dataset. Default: as in the run, or its id.")] = None,
    public: Annotated[bool, Option("--public", help="Let everybody see the dataset. Default: as it is.")] = False,
    token_file: Annotated[Path | None, Option(help="File that holds the token. Default: CLIO_STORE_TOKEN.")] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Read and merge; print the record, write nothing.")] = False,
    output: Form = None,
) -> None:
    """Make a dataset of a clio-store show a finished run. What else its record says is kept."""
    from clio_argo.clio_store import ClioStore
    from clio_argo.model.registration import Register
    from clio_argo.model.run import Completion
    from clio_argo.model.volume import VolumeSpec
    from clio_argo.store.documents import Store
    from clio_argo.workspace.registration import register_run

    root = Store(run)
    done = root.find_document(Completion, COMPLETE)
    if done is None:
        raise UserError(f"{root.url}{COMPLETE} does not exist: only complete runs are registered")
    request = root.intact(Request, CONFIG)
    wanted = request.register if request else Register()
    if not (url := store or wanted.store):
        raise UserError("give --store URL: the request of the run names no clio-store (register.store)")
    if done.status != "complete":
        print(f"note: the run is {done.status}: {_flags(done)}", file=sys.stderr)
    to, volume = ClioStore.at(url, _token(token_file)), root.document(VolumeSpec, VOLUME)
    made = register_run(done, volume, to, dataset or wanted.dataset, public, dry_run)
    show(made.record, output or ("json" if dry_run else None), lambda: [literal(made.text)])
    if dry_run:
        print(f"{made.text}; nothing was written", file=sys.stderr)


def warn_of_token(config: Request) -> None:
    """Say before a run that it will not be registered."""
    from clio_argo.clio_store import TOKEN

    if config.register.store and TOKEN not in os.environ:
        print(f"warning: {TOKEN} is not set, so that the volume will not be registered", file=sys.stderr)


def _flags(done: "Completion") -> str:
    counts = {"flagged": len(done.flagged), "suspect": len(done.suspect), "breaks": len(done.breaks)}
    parts = [f"{count} {what}" for what, count in counts.items() if count] or ["its report says why"]
    return ", ".join(parts)


def _token(file: Path | None) -> str:
    """The token of a file, or of the environment. Raises `UserError`, which does not show it."""
    from clio_argo.clio_store import TOKEN

    if file is None and TOKEN not in os.environ:
        raise UserError(
            f"no token: set {TOKEN}, or give --token-file FILE; POST /v2/server/token of the store gives one"
        )
    try:
        return file.read_text(encoding="utf-8").strip() if file else os.environ[TOKEN].strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise UserError(f"{file}: cannot be read: {reason}") from None
