"""Proves that the volume is complete: every expected object is there, as it was written, and nothing else is."""

from collections.abc import Sequence

from clio_argo.errors import BrokenVolume
from clio_argo.model.layout import VERIFICATION
from clio_argo.model.step import Counts, StepResult
from clio_argo.workspace.comparison import compare, listing
from clio_argo.workspace.run import Run

# an error message names so many objects: a terminal's screen
SHOWN = 20


def run(run: Run, units: Sequence[int]) -> StepResult:
    """Compare names, sizes and listed checksums of all objects with the manifest; all were read back when written."""
    verification = compare(run, listing(run))
    if faults := verification.faults:
        lines = [f"  - {f.name}: {f.what}" for f in faults[:SHOWN]]
        raise BrokenVolume("\n".join([f"the volume is broken in {len(faults)} places:", *lines,
                                      "clio-argo repair mends it"]))  # fmt: skip
    run.store.write(VERIFICATION, verification.to_bytes())
    return StepResult(counts=Counts(bytes=verification.bytes))
