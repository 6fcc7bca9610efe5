"""The command that shows runs in a browser."""

import os
import sys
import webbrowser
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from clio_argo.cli.commands import LOOK, RunCommand, command
from clio_argo.errors import UserError
from clio_argo.model.layout import COMPLETE, PICTURES, REPORT, THUMBNAILS, VIEWER, VOLUME
from clio_argo.viewer.url import LAYOUTS, VIEW_PORT

if TYPE_CHECKING:
    from clio_argo.store.documents import Store
    from clio_argo.viewer.layers import Shown
    from clio_argo.viewer.objects import Objects

# a person waits: the browser asks again for what did not come
TRIES = "2"
commands = typer.Typer()


@command(commands, LOOK, cls=RunCommand)
def view(
    runs: Annotated[list[str], Argument(help="Folders or buckets of runs; also --run RUN.", metavar="RUN")],
    port: Annotated[int, Option(help="Port on this machine; 0: any free one.")] = VIEW_PORT,
    z: Annotated[int | None, Option("--z", help="Slice to begin with. Default: the middle one.")] = None,
    layout: Annotated[str, Option(help=f"Panels: {', '.join(LAYOUTS)}.")] = LAYOUTS[0],
    open_page: Annotated[bool, Option("--open", help="Open the page in the browser.")] = False,
    cache: Annotated[
        Path | None, Option(help="Folder that keeps what was read of buckets. Default: nothing is kept.")] = None,
) -> None:  # fmt: skip
    """Serve runs to the browser with their own neuroglancer, and print the link; also runs in private buckets."""
    if layout not in LAYOUTS:
        raise UserError(f"--layout {layout}: use one of {', '.join(LAYOUTS)}")
    from clio_argo.report.script import source
    from clio_argo.runner import environment
    from clio_argo.viewer.server import serve

    with environment({"CLIO_STORE_TRIES": os.environ.get("CLIO_STORE_TRIES", TRIES)}):
        serve(
            runs_shown(runs, cache), port, _tell_addresses,
            z=z, layout=layout, opened=_open if open_page else lambda _: None, refused=_tell, script=source(),
        )  # fmt: skip


def runs_shown(runs: list[str], cache: Path | None) -> "list[Shown]":
    """Runs as layers. cache: folder that keeps what is read of buckets; None: nothing is kept."""
    from clio_argo.store.documents import Store
    from clio_argo.viewer.layers import layer_names
    from clio_argo.workspace.run import open_run

    kept = Store(str(_private(cache))) if cache else None
    stores = [open_run(run) for run in runs]
    names = layer_names([store.url for store in stores])
    return [_shown_run(store, name, kept) for store, name in zip(stores, names, strict=True)]


def _private(folder: Path) -> Path:
    """A folder for this account alone; one that is there stays as it is."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--cache {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise UserError(f"--cache {folder}: cannot be written")
    return folder


def _shown_run(store: "Store", name: str, cache: "Store | None") -> "Shown":
    from clio_argo.model.volume import VolumeSpec
    from clio_argo.viewer.layers import Shown
    from clio_argo.viewer.objects import Remote

    if store.read(COMPLETE) is None:
        place = str(store.local or store.url.rstrip("/"))
        _tell(f"{place}: the run has not ended; what it has not written yet is not shown")
    spec = store.intact(VolumeSpec, VOLUME)
    beside = {f"{folder}/": _objects(store, folder, cache) for folder in (PICTURES, THUMBNAILS)}
    if not store.local:
        beside[""] = Remote(store, cache, only=REPORT)
    slice_nm = spec.scales[0].resolution[0] if spec else None
    return Shown(name, _objects(store, VIEWER, cache), store.local, slice_nm, spec, beside)


def _objects(store: "Store", folder: str, cache: "Store | None") -> "Objects":
    """The objects of a folder of a run, wherever that lies."""
    from clio_argo.store.documents import Store
    from clio_argo.viewer.objects import Folder, Remote

    found = Store(store.url_of(folder))
    return Folder(found.local) if found.local else Remote(found, cache)


def _tell_addresses(link: str, report: str | None) -> None:
    print(link, *([f"report: {report}"] if report else []), "Ctrl-C ends it", sep="\n", flush=True)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _open(address: str) -> None:
    """Open the browser; one that runs in a terminal would keep the server waiting."""
    Thread(target=_tell_unless_opened, args=(address,), daemon=True).start()


def _tell_unless_opened(address: str) -> None:
    if not webbrowser.open(address):
        _tell("no browser was found; open the link in one")
