"""Commands on finished runs: whether they are whole, their repair, and where they come from."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from typer import Option

from clio_argo.cli.commands import ADMINISTER, LOOK, RunCommand, command
from clio_argo.cli.console import exit_unless, literal, program, show
from clio_argo.cli.options import Form, Local, Root
from clio_argo.errors import UserError, printable
from clio_argo.model.base import counted

if TYPE_CHECKING:
    from clio_argo.maintenance.repair import Repair
    from clio_argo.model.run import Fault, Mode, Verification

T = TypeVar("T")
commands = typer.Typer()
Deep = Annotated[bool, Option("--deep", help="Also decode both volumes and compare samples.")]
Trust = Annotated[bool, Option("--trust-places", help="Work in the places outside of RUN that it names, too.")]
# notes repeat themselves for each folder of a store; JSON has all
SHOWN_NOTES = 5
# a screen of a terminal; somebody may have copied a million files into the folder
SHOWN_FAULTS = 20
METHODS = {
    "quick": "names and sizes compared", "default": "every byte read", "deep": "every byte read, every chunk decoded"
}  # fmt: skip


@command(commands, LOOK, "show", RunCommand)
def show_run(
    run: Root,
    cost: Annotated[bool, Option("--cost", help="Show what its stages were expected to take, took, and cost.")] = False,
    output: Form = None,
    as_json: Annotated[bool, Option("--json", hidden=True)] = False,
) -> None:
    """Show how a run ended and where its volume comes from: versions, settings, inputs, digests."""
    from clio_argo.cli.views import provenance
    from clio_argo.model.layout import COMPLETE
    from clio_argo.model.run import Completion
    from clio_argo.store.documents import Store

    if cost:
        _show_cost(run, "json" if as_json else output)
        return
    store = Store(run)
    done = store.find_document(Completion, COMPLETE)
    if done is None:
        raise UserError(f"{store.url}{COMPLETE} does not exist: there is no run, or it is not complete")
    show(done.model_dump(mode="json"), "json" if as_json else output, lambda: provenance(done))


def _show_cost(run: str, output: str | None) -> None:
    from clio_argo.cli.costs import cost_view
    from clio_argo.workspace.reconcile import costs_of
    from clio_argo.workspace.run import open_run

    costs = costs_of(open_run(run))
    value = {**costs.model_dump(mode="json"), "cpu_s": costs.cpu_s, "per_tb": costs.per_tb}
    show(value, output, lambda: cost_view(costs))


@command(commands, LOOK, cls=RunCommand)
def verify(
    run: Root,
    local: Local,
    quick: Annotated[bool, Option("--quick", help="Compare names and sizes, and checksums if listed.")] = False,
    deep: Deep = False,
    trust_places: Trust = False,
) -> None:
    """Compare a run with its manifest and name what is damaged, missing or unexpected. Exit with 1 if anything is."""
    from clio_argo.maintenance.places import trusted_run
    from clio_argo.maintenance.verify import verify as verify_run

    if quick and deep:
        raise UserError("give --quick or --deep, not both")
    mode: Mode = "quick" if quick else "deep" if deep else "default"
    with local.reporter() as progress:
        found = verify_run(trusted_run(run, trust_places), mode, local.workers, progress, local.graph)
    remedy = f"repair it with: {program()} repair {shlex.quote(run)}{' --deep' if deep else ''}"
    advice = [literal(remedy)] if found.faults else []
    local.end(found.model_dump(mode="json"), lambda: [*_verification(found), *advice])
    exit_unless(not found.faults)


@command(commands, LOOK, cls=RunCommand)
def repair(
    run: Root,
    local: Local,
    deep: Deep = False,
    remove_unexpected: Annotated[
        bool, Option("--remove-unexpected", "--remove-foreign", help="Delete objects that are not of the run.")
    ] = False,
    yes: Annotated[bool, Option("--yes", help="Do not ask before that.")] = False,
    trust_places: Trust = False,
) -> None:
    """Rerun what is damaged or missing, and nothing else. Exit with 1 if something is left."""
    from clio_argo.maintenance.places import trusted_run
    from clio_argo.maintenance.repair import repair as repair_run
    from clio_argo.model.layout import PLAN
    from clio_argo.model.plan import Plan

    remove = remove_unexpected and (yes or _may_remove)
    store = trusted_run(run, trust_places)
    with local.reporter() as progress:
        if plan := store.intact(Plan, PLAN):
            progress.note(f"slices that are needed are read from {printable(plan.source)}")
        done = repair_run(store, local.workers, progress, deep, remove, local.graph)
    local.end(done.model_dump(mode="json"), lambda: _repair(done))
    exit_unless(not done.left.faults)


@command(commands, ADMINISTER, cls=RunCommand)
def clean(run: Root, output: Form = None, trust_places: Trust = False) -> None:
    """Delete temporary objects of a finished run. Corrections and other settings then decode its slices again."""
    from clio_argo.cli.views import human_size
    from clio_argo.maintenance.clean import clean as clean_run
    from clio_argo.maintenance.places import trusted_run

    removed = clean_run(trusted_run(run, trust_places))
    show({"removed_bytes": removed}, output, lambda: [f"removed {human_size(removed)}"])


def _may_remove(names: Sequence[str]) -> bool:
    """Whether a person agrees that objects are deleted, of which the first are shown."""
    if not names:
        return False
    text = "".join(f"  {line}\n" for line in _first(names, repr, ""))
    return typer.confirm(f"These do not belong to the run:\n{text}Delete them?", err=True)


def _repair(done: "Repair") -> Iterator[str]:
    yield from _faults(done.found.faults)
    yield from _first(done.removed, lambda name: literal(f"removed {printable(name)}"), " were removed")
    yield f"units rerun: {', '.join(f'{units} of {step}' for step, units in done.again.items()) or 'none'}"
    yield from _verification(done.left)


def _verification(found: "Verification") -> Iterator[str]:
    from clio_argo.cli.views import human_size
    from clio_argo.maintenance.verify import NO_VOLUMES

    yield from _faults(found.faults)
    yield from (literal(f"note: {note}") for note in found.notes[:SHOWN_NOTES])
    if more := found.notes[SHOWN_NOTES:]:
        yield f"note: and {len(more)} more such notes; -o json has all"
    if found.leftovers:
        yield f"note: {counted(found.leftovers, 'file')} (*.__lock) that killed processes left; repair removes all such"
    size = f"{counted(found.objects, 'object')} ({human_size(found.bytes)}), {METHODS[found.mode]}"
    whole = "whole so far" if NO_VOLUMES in found.notes else "whole"
    yield f"broken in {counted(len(found.faults), 'place')}: {size}" if found.faults else f"{whole}: {size}"


def _faults(faults: "Sequence[Fault]") -> Iterator[str]:
    return _first(faults, lambda fault: literal(f"{printable(fault.name)}: {fault.what}"), "; -o json has all")


def _first(items: Sequence[T], line: Callable[[T], str], more: str) -> Iterator[str]:
    """A line for each of the first items, and one for the others, which ends with `more`."""
    yield from map(line, items[:SHOWN_FAULTS])
    if len(items) > SHOWN_FAULTS:
        yield f"and {len(items) - SHOWN_FAULTS} more{more}"
