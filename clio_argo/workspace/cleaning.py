"""Removes what a finished run can do without; the same request then counts as done, and any other makes it again."""

from clio_argo.model.layout import CLEANED, COMPLETE, REMOVABLE, VOLUME, is_removable
from clio_argo.model.run import Cleaned
from clio_argo.model.volume import VolumeSpec
from clio_argo.store.manifest import damages, read_record
from clio_argo.workspace.comparison import compare, listing
from clio_argo.workspace.run import Run

# Corrections by hand are quicker with what is temporary. It may take a tenth of what the volumes take, and on small
# stacks, where people try things out, this much.
SHARE, LEAST_BYTES = 0.1, 16 * 2**20


def clean(run: Run, kept_bytes: int = 0) -> int:
    """Delete temporary objects, those that are made again soonest first, until `kept_bytes` are left; bytes deleted."""
    sizes = [{n: s for n, s in run.store.sizes(folder).items() if is_removable(n)} for folder in REMOVABLE]
    left = before = sum(map(sum, (s.values() for s in sizes)))
    for folder in sizes:
        if left > kept_bytes:
            # before the first object is gone: a run that is killed in between goes on as a cleaned one
            run.store.write(CLEANED, Cleaned(inputs=run.inputs).to_bytes())
            run.store.delete_all(folder)
            left -= sum(folder.values())
    return before - left


def forget_if_needed(run: Run) -> None:
    """Let what was removed be made again: the inputs are others now, or something that stays is damaged."""
    if not (run.is_cleaned and _is_whole(run)):
        run.store.delete(CLEANED)


def _is_whole(run: Run) -> bool:
    """Whether volumes and report are there, as far as listings show."""
    published, spec = read_record(run.store, "publish", 0), run.store.intact(VolumeSpec, VOLUME)
    if published is None or spec is None:
        return False
    # every run writes complete.json anew, and it is gone where `plan` cut other parts than before
    stays = [o for o in published.objects if o.name != COMPLETE]
    if any(damage for _, damage in damages(run.store, stays)):
        return False
    return not any(fault.step for fault in compare(run, listing(run)).faults)


def allowed_bytes(volumes: int) -> int:
    """How much may stay beside volumes of so many bytes."""
    return max(int(SHARE * volumes), LEAST_BYTES)
