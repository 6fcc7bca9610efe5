"""Sources that still arrive: transfers under way, slices that are too young, and what changed until the run's end."""

from collections.abc import Iterable, Sequence

from clio_argo.errors import MissingBucket, StoreError, UserError
from clio_argo.model.base import few
from clio_argo.model.run import SourceChanges
from clio_argo.store.slices import RAW, Entry
from clio_argo.store.transfers import is_transfer
from clio_argo.workspace.channels import requests_of_files
from clio_argo.workspace.run import Run
from clio_argo.workspace.survey import listings, number_files

# longer than a slice takes to arrive, and shorter than a person waits before starting a run
YOUNG_S = 120


def transfers(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Names of files that look like transfers under way."""
    return tuple(e.name for e in entries if is_transfer(e.name))


def arrival_warning(entries: Sequence[Entry], slices: Iterable[str], now_s: float) -> str:
    """One line if the source seems to be on its way; empty if it does not.

    slices: names of the usable slices. now_s: seconds since 1970.
    """
    under_way, names = transfers(entries), set(slices)
    # clocks of stores are ahead of this one's, or behind
    young = [e.name for e in entries if e.name in names and abs(now_s - e.arrived_s) < YOUNG_S]
    parts = [f"{len(under_way)} files look like transfers ({few(under_way)})"] if under_way else []
    parts += [f"{len(young)} slices are younger than {YOUNG_S // 60} minutes ({few(young)})"] if young else []
    return f"the source may still be arriving: {'; '.join(parts)}" if parts else ""


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
