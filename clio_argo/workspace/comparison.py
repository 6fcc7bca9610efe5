"""Compares what a store lists of a run's volumes with the manifest."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from clio_argo.model.layout import (
    COMPLETE,
    INFO,
    MANIFEST,
    PROVENANCE,
    VOLUME_FOLDERS,
    ZARR,
    in_volumes,
    is_kept,
    record_name,
)
from clio_argo.model.run import Fault, ObjectRecord, UnitRecord, Verification
from clio_argo.model.step import Step
from clio_argo.store.backends.base import Listed
from clio_argo.store.manifest import OTHER_CONTENT, read_records, size_differs
from clio_argo.workspace.expected import expected_names
from clio_argo.workspace.run import Run

NO_RECORD = "is missing or cannot be read"
NO_CHECKSUMS = "listings of this store hold no checksums: sizes were compared, contents were not"
# of the volumes, written when slices are placed
METADATA = {INFO, PROVENANCE, ZARR}
Entry = tuple[str, int, str]
"""Name, size and CRC32C of an object: plain, since a million of them are in memory at once."""


def listing(run: Run) -> Iterator[Listed]:
    """All objects of both volumes as the store lists them."""
    for folder in VOLUME_FOLDERS:
        yield from run.store.listed(folder)


def compare(run: Run, listed: Iterable[Listed], steps: Sequence[Step] | None = None) -> Verification:
    """Compare a listing of both volumes with the manifest; what lies under tmp/ may be gone and is left out.

    steps: those whose objects must be there; None: all that write volumes.
    """
    tally = _Tally({o.name: o for o in listed})
    has_checksums = any(o.crc32c for o in tally.unexplained.values())
    for step in volume_steps(run) if steps is None else steps:
        units = run.unit_numbers(step)
        for unit, record in zip(units, read_records(run.store, step.name, units), strict=True):
            tally.add(run, step, unit, record)
    # what no unit has claimed by now belongs to none
    unexpected = [Fault(name=n, what="does not belong to this volume") for n in sorted(tally.unexplained)]
    return Verification(
        mode="quick",
        objects=len(tally.entries),
        bytes=sum(size for _, size, _ in tally.entries),
        manifest=_digest(tally.entries),
        software=dict(tally.software),
        faults=(*tally.faults, *unexpected),
        notes=() if has_checksums else (NO_CHECKSUMS,),
    )


def volume_steps(run: Run) -> list[Step]:
    """The steps whose objects stay as part of the volumes, metadata included."""
    return [step for step in run.pipeline.steps if step.objects or step.shards]


def only_aligned(run: Run) -> bool:
    """Whether a run has no volume yet, nor a part of one: only slices were placed."""
    if run.store.read(COMPLETE) is not None:
        return False
    later = (s for s in run.pipeline.steps if s not in run.pipeline.until("solve"))
    records = (o for s in later for o in run.store.listed(f"{MANIFEST}/{s.name}"))
    voxels = (o for o in listing(run) if o.name.rpartition("/")[2] not in METADATA)
    return next(chain(records, voxels), None) is None


@dataclass
class _Tally:
    """Listed objects that no unit explains yet, entries of the manifest, and faults."""

    unexplained: dict[str, Listed]
    entries: list[Entry] = field(default_factory=list)
    software: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)

    def add(self, run: Run, step: Step, unit: int, record: UnitRecord | None) -> None:
        """Compare the objects of one unit."""
        wrong = list(self._missing(run, step, unit, record))
        if record is not None:
            self.software[record.software] += 1
            self.entries += [(o.name, o.size, o.crc32c) for o in record.objects if is_kept(o.name)]
            wrong += [(o.name, what) for o in record.objects if (what := self._difference(o))]
        self.faults += [Fault(name=name, what=what, step=step.name, unit=unit) for name, what in wrong]

    def _missing(self, run: Run, step: Step, unit: int, record: UnitRecord | None) -> Iterator[tuple[str, str]]:
        """What the manifest lacks of a unit."""
        if record is None:
            yield record_name(step.name, unit), NO_RECORD
        recorded = {o.name for o in record.objects} if record else set[str]()
        for name in expected_names(run, step, unit):
            if name not in recorded:
                # one fault says it: the object is this unit's, and not unexpected besides
                self.unexplained.pop(name, None)
                yield name, "is not in the manifest"

    def _difference(self, expected: ObjectRecord) -> str | None:
        """How an object differs from its record, as far as the listing shows it."""
        if not in_volumes(expected.name):
            return None
        listed = self.unexplained.pop(expected.name, None)
        if listed is None:
            return "is missing"
        if listed.size != expected.size:
            return size_differs(listed.size, expected)
        return OTHER_CONTENT if listed.crc32c not in (None, expected.crc32c) else None


def _digest(entries: list[Entry]) -> str:
    """Digest over names, sizes and checksums, whatever units they were written by."""
    total = hashlib.sha256()
    # sorted: the digest must not depend on how the work was cut into units
    for name, size, crc32c in sorted(entries):
        total.update(f"{name} {size} {crc32c}\n".encode())
    return total.hexdigest()[:32]
