"""Proves that the volumes are complete: they hold every expected object as it was written, and nothing else."""

from collections.abc import Sequence

from clio_argo.errors import BrokenVolume, printable
from clio_argo.model.base import counted
from clio_argo.model.layout import VERIFICATION
from clio_argo.model.step import Counts, StepResult
from clio_argo.workspace.comparison import compare, listing
from clio_argo.workspace.run import Run

SHOWN = 20  # objects in an error message: a screen of a terminal


def run(run: Run, units: Sequence[int]) -> StepResult:
    """Compare names, sizes and listed checksums of all objects with the manifest."""
    # at the end of a run nobody writes, and what is still open stays
    run.store.leftovers(remove=True)
    # nothing is read: every object was read back when it was written
    verification = compare(run, listing(run))
    if faults := verification.faults:
        lines = [f"  - {printable(f.name)}: {f.what}" for f in faults[:SHOWN]]
        raise BrokenVolume("\n".join([f"the volume is broken in {counted(len(faults), 'place')}:", *lines,
                                      "run clio-argo repair"]))  # fmt: skip
    run.store.write(VERIFICATION, verification.to_bytes())
    return StepResult(counts=Counts(bytes=verification.bytes))
