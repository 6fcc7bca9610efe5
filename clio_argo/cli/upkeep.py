"""Commands on finished runs: whether they are whole, mending them, and where they come from."""

import json
import shlex
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from clio_argo.errors import UserError

if TYPE_CHECKING:
    from clio_argo.model.run import Fault, Mode, Verification

commands = typer.Typer()
Root = Annotated[str, typer.Argument(help="Folder or bucket of a run.", show_default=False)]
Deep = Annotated[
    bool, typer.Option("--deep", help="Decode both volumes too, and compare samples with what they show.")
]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Worker processes.")]
Log = Annotated[str, typer.Option("--log", help="auto: bars on a terminal; json: a line per event; quiet.")]
SHOWN_NOTES = 5
LOOKED = {
    "quick": "names and sizes compared",
    "default": "every byte read",
    "deep": "every byte read, every chunk decoded",
}


@commands.command()
def verify(
    run: Root,
    quick: Annotated[
        bool, typer.Option("--quick", help="Compare names and sizes, and checksums where listings have them.")
    ] = False,
    deep: Deep = False,
    workers: Workers = None,
    log: Log = "auto",
) -> None:
    """Compare a run with its manifest and name all that is damaged, missing or foreign; exit 1 if anything is."""
    from clio_argo.cli.progress import reporter
    from clio_argo.maintenance.verify import verify as verify_run

    if quick and deep:
        raise UserError("give --quick or --deep, not both")
    mode: Mode = "quick" if quick else "deep" if deep else "default"
    with reporter(log) as progress:
        found = verify_run(run, mode, workers, progress)
    if log == "json":
        print(json.dumps({"event": "end", **found.model_dump(mode="json")}))
    else:
        _show(found)
        if found.faults:
            print(f"mend it with: clio-argo repair {shlex.quote(run)}{' --deep' if deep else ''}")
    raise typer.Exit(int(bool(found.faults)))


@commands.command()
def repair(
    run: Root,
    deep: Deep = False,
    remove_foreign: Annotated[
        bool, typer.Option("--remove-foreign", help="Delete what does not belong to the volumes.")
    ] = False,
    workers: Workers = None,
    log: Log = "auto",
) -> None:
    """Do again what is damaged or missing, and nothing else; exit 1 if something is left."""
    from clio_argo.cli.progress import reporter
    from clio_argo.maintenance.repair import repair as repair_run

    with reporter(log) as progress:
        done = repair_run(run, workers, progress, deep, remove_foreign)
    if log == "json":
        print(json.dumps({"event": "end", **done.model_dump(mode="json")}))
    else:
        _list(done.found.faults)
        for name in done.removed:
            print(f"removed {name}")
        again = ", ".join(f"{units} of {step}" for step, units in done.again.items())
        print(f"units done again: {again or 'none'}")
        _show(done.left)
    raise typer.Exit(int(bool(done.left.faults)))


def _show(found: "Verification") -> None:
    from clio_argo.cli.show import gigabytes

    _list(found.faults)
    for note in found.notes[:SHOWN_NOTES]:
        print(f"note: {note}")
    if more := found.notes[SHOWN_NOTES:]:
        print(f"note: and {len(more)} more such notes; --log json has all")
    size = f"{found.objects} objects ({gigabytes(found.bytes)}), {LOOKED[found.mode]}"
    places = f"{len(found.faults)} place{'s' if len(found.faults) > 1 else ''}"
    print(f"broken in {places}: {size}" if found.faults else f"whole: {size}")


def _list(faults: "tuple[Fault, ...]") -> None:
    for fault in faults:
        print(f"{fault.name}: {fault.what}")


@commands.command()
def show(
    run: Root,
    as_json: Annotated[bool, typer.Option("--json", help="Print complete.json as it is.")] = False,
) -> None:
    """Print how a run ended and where its volume comes from: versions, settings, inputs, digests."""
    from clio_argo.cli.show import provenance
    from clio_argo.model.layout import COMPLETE
    from clio_argo.model.run import Completion
    from clio_argo.store.documents import Store

    store = Store(run)
    done = store.find_document(Completion, COMPLETE)
    if done is None:
        raise UserError(f"{store.url}{COMPLETE} does not exist: there is no run, or it is not complete")
    if as_json:
        print(done.to_bytes().decode(), end="")
    else:
        Console(highlight=False).print(provenance(done))
