"""Sources that still arrive: transfers under way, slices that are too young, and what changed until the run's end."""

from collections.abc import Iterable, Sequence

from clio_argo.errors import MissingBucket, StoreError, UserError
from clio_argo.model.base import counted, few
from clio_argo.model.run import SourceChanges
from clio_argo.store.slices import RAW, Entry
from clio_argo.store.transfers import is_transfer
from clio_argo.workspace.channels import requests_of_files
from clio_argo.workspace.run import Run
from clio_argo.workspace.survey import listings, number_files

# arrivals whose pace says whether another slice is due; it comes before three times as long have passed
LATEST, PACES = 16, 3
# a person needs longer from the end of a copy to the start of a run, and stores tell whole seconds only
LEAST_S = 2
# longer than a slice takes to arrive, and shorter than most people wait before they start a run
MOST_S = 120


def transfers(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Names of files that look like transfers under way."""
    return tuple(e.name for e in entries if is_transfer(e.name))


def arrival_warning(entries: Sequence[Entry], slices: Iterable[str], listed_s: float) -> str:
    """One line if the source seems to be on its way; empty if it does not.

    slices: names of the usable slices. listed_s: when the source was listed, in seconds since 1970.
    """
    under_way, names = transfers(entries), set(slices)
    latest = sorted((e for e in entries if e.name in names), key=lambda e: e.arrived_s)[-LATEST:]
    said = (
        [f"{counted(len(under_way), 'file', 'looks', 'look')} like transfers ({few(under_way)})"] if under_way else []
    )
    if latest and _is_due([e.arrived_s for e in latest], listed_s):
        age_s = max(0, listed_s - latest[-1].arrived_s)
        said.append(f"the newest slice arrived {age_s:.0f} s ago ({latest[-1].name})")
    return f"the source may still be arriving: {'; '.join(said)}" if said else ""


def _is_due(arrivals_s: Sequence[float], listed_s: float) -> bool:
    """Whether another slice may follow the latest ones, by the pace at which they arrived."""
    first, *_, last = (arrivals_s[0], *arrivals_s)
    pause_s = PACES * (last - first) / max(1, len(arrivals_s) - 1)
    # the clock of a store may be ahead of this one's
    return -MOST_S < listed_s - last < min(max(pause_s, LEAST_S), MOST_S)


def source_changes(run: Run) -> SourceChanges:
    """How the source differs now from what was planned, by a listing alone."""
    planned = {name: stamp for unit in run.all_slices for s in unit.slices for name, stamp in s.files.items()}
    planned |= {p.file: p.stamp for p in run.plan.problems if p.file}
    try:
        at_root, in_raw = listings(run.source, run.settings)
        entries = in_raw if any(name.startswith(RAW) for name in planned) else at_root
    except MissingBucket:
        entries = []
    except StoreError as error:
        # a volume that is whole is not lost because nobody may list its slices any more
        return SourceChanges(unread=str(error))
    stamps = {e.name: e.stamp for e in entries}
    return SourceChanges(
        new=tuple(name for name in _slices(run, entries) if name not in planned),
        gone=tuple(name for name in planned if name not in stamps),
        changed=tuple(name for name, stamp in planned.items() if stamp and stamps.get(name, stamp) != stamp),
        transfers=transfers(entries),
    )


def _slices(run: Run, entries: Iterable[Entry]) -> list[str]:
    """Names of the files that a plan of now would take for slices."""
    images = [e for e in entries if not is_transfer(e.name)]
    try:
        return [e.name for own in requests_of_files(run.request) for _, e in number_files(own, images).files]
    # names that follow several patterns: each may be a slice
    except UserError:
        return [e.name for e in images]
