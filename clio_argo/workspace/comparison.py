"""Compares what a store lists of a run's volumes with the manifest."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from clio_argo.model.layout import VOLUME_FOLDERS, in_volumes, is_kept, record_name
from clio_argo.model.run import Fault, ObjectRecord, UnitRecord, Verification
from clio_argo.model.step import Step, load
from clio_argo.store.backends.base import Listed
from clio_argo.store.manifest import OTHER_CONTENT, read_records, size_differs
from clio_argo.workspace.run import Run

NO_RECORD = "is missing or cannot be read"
NO_CHECKSUMS = "listings of this store hold no checksums: sizes were compared, contents were not"
Entry = tuple[str, int, str]
"""Name, size and CRC32C of an object: plain, since a million of them are in memory at once."""


def listing(run: Run) -> Iterator[Listed]:
    """All objects of both volumes as the store lists them."""
    for folder in VOLUME_FOLDERS:
        yield from run.store.listed(folder)


def compare(run: Run, listed: Iterable[Listed]) -> Verification:
    """Compare a listing of both volumes with the manifest; what lies under tmp/ may be gone and is left out."""
    tally = _Tally({o.name: o for o in listed})
    summed = any(o.crc32c for o in tally.found.values())
    for step in volume_steps(run):
        units = run.numbered_units(step)
        for unit, record in zip(units, read_records(run.store, step.name, units), strict=True):
            tally.add(run, step, unit, record)
    foreign = [Fault(name=n, what="does not belong to this volume") for n in sorted(tally.found)]
    return Verification(
        mode="quick",
        objects=len(tally.entries),
        bytes=sum(size for _, size, _ in tally.entries),
        manifest=_digest(tally.entries),
        software=dict(tally.software),
        faults=(*tally.faults, *foreign),
        notes=() if summed else (NO_CHECKSUMS,),
    )


def volume_steps(run: Run) -> list[Step]:
    """The steps whose objects stay as part of the volumes, metadata included."""
    return [step for step in run.pipeline.steps if step.objects]


@dataclass
class _Tally:
    """What was listed and is not accounted for yet, what records say, and which faults were found."""

    found: dict[str, Listed]
    entries: list[Entry] = field(default_factory=list)
    software: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)

    def add(self, run: Run, step: Step, unit: int, record: UnitRecord | None) -> None:
        """Compare the objects of one unit."""
        wrong = list(self._missing(run, step, unit, record))
        if record is not None:
            self.software[record.software] += 1
            self.entries += [(o.name, o.size, o.crc32c) for o in record.objects if is_kept(o.name)]
            wrong += [(o.name, what) for o in record.objects if (what := self._differs(o))]
        self.faults += [Fault(name=name, what=what, step=step.name, unit=unit) for name, what in wrong]

    def _missing(self, run: Run, step: Step, unit: int, record: UnitRecord | None) -> Iterator[tuple[str, str]]:
        """What the manifest lacks of a unit."""
        if record is None:
            yield record_name(step.name, unit), NO_RECORD
        recorded = {o.name for o in record.objects} if record else set[str]()
        for name in load(step.objects)(run, unit):
            if name not in recorded:
                self.found.pop(name, None)
                yield name, "is not in the manifest"

    def _differs(self, expected: ObjectRecord) -> str | None:
        if not in_volumes(expected.name):
            return None
        found = self.found.pop(expected.name, None)
        if found is None:
            return "is missing"
        if found.size != expected.size:
            return size_differs(found.size, expected)
        return OTHER_CONTENT if found.crc32c not in (None, expected.crc32c) else None


def _digest(entries: list[Entry]) -> str:
    """Digest over names, sizes and checksums, whatever units they were written by."""
    total = hashlib.sha256()
    for name, size, crc32c in sorted(entries):
        total.update(f"{name} {size} {crc32c}\n".encode())
    return total.hexdigest()[:32]
