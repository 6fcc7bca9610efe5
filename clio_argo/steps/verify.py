"""Proves that the volume is complete: every expected object is there, as it was written, and nothing else is."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from clio_argo.errors import BrokenVolume
from clio_argo.model.formats import thumbnail_name
from clio_argo.model.run import Fault, ObjectRecord, UnitRecord, Verification
from clio_argo.steps.base import Outputs, Run
from clio_argo.store.backends.base import Listed
from clio_argo.store.manifest import OTHER_CONTENT, read_records, record_name, size_differs
from clio_argo.store.volumes import unit_shards

VERIFY = "verify.json"
FOLDERS = ("ng", "aligned", "thumbnails")
KEPT = tuple(f"{f}/" for f in FOLDERS)
SHOWN = 20
NO_RECORD = "is missing or cannot be read"
NO_CHECKSUMS = "listings of this store hold no checksums: sizes were compared, contents were not"
Entry = tuple[str, int, str]
"""Name, size and CRC32C of an object: plain, since a million of them are in memory at once."""


def run(run: Run, part: int) -> Outputs:
    """Compare names, sizes and listed checksums of all objects with the manifest; all were read back when written."""
    found = compare(run, listing(run))
    if found.faults:
        lines = [f"  - {f.name}: {f.what}" for f in found.faults[:SHOWN]]
        raise BrokenVolume("\n".join([f"the volume is broken in {len(found.faults)} places:", *lines,
                                      "clio-argo repair mends it"]))  # fmt: skip
    run.store.write(VERIFY, found.to_bytes())
    return {"objects": found.objects, "bytes": found.bytes}


def listing(run: Run) -> Iterator[Listed]:
    """All objects of both volumes as the store lists them."""
    for folder in FOLDERS:
        yield from run.store.listed(folder)


def compare(run: Run, listed: Iterable[Listed]) -> Verification:
    """Compare a listing of both volumes with the manifest; what lies under tmp/ may be gone and is left out."""
    tally = _Tally({o.name: o for o in listed})
    summed = any(o.crc32c for o in tally.found.values())
    for step, units in volume_units(run).items():
        for unit, record in zip(units, read_records(run.store, step, units), strict=True):
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


def volume_units(run: Run) -> dict[str, range]:
    """The units of all steps that write what stays of the volumes; `solve` writes their metadata."""
    return {"solve": range(1), **{step: range(fan.units) for step, fan in run.volume.work.items()}}


@dataclass
class _Tally:
    """What was listed and is not accounted for yet, what records say, and which faults were found."""

    found: dict[str, Listed]
    entries: list[Entry] = field(default_factory=list)
    software: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)

    def add(self, run: Run, step: str, unit: int, record: UnitRecord | None) -> None:
        wrong = list(self._missing(run, step, unit, record))
        if record is not None:
            self.software[record.software] += 1
            self.entries += [(o.name, o.size, o.crc32c) for o in record.objects if is_kept(o)]
            wrong += [(o.name, what) for o in record.objects if (what := self._differs(o))]
        self.faults += [Fault(name=name, what=what, step=step, unit=unit) for name, what in wrong]

    def _missing(
        self, run: Run, step: str, unit: int, record: UnitRecord | None
    ) -> Iterator[tuple[str, str]]:
        """What the manifest lacks of a unit."""
        if record is None:
            yield record_name(step, unit), NO_RECORD
        recorded = {o.name for o in record.objects} if record else set[str]()
        for name in unit_objects(run, step, unit):
            if name not in recorded:
                self.found.pop(name, None)
                yield name, "is not in the manifest"

    def _differs(self, expected: ObjectRecord) -> str | None:
        if not expected.name.startswith(KEPT):
            return None
        found = self.found.pop(expected.name, None)
        if found is None:
            return "is missing"
        if found.size != expected.size:
            return size_differs(found.size, expected)
        return OTHER_CONTENT if found.crc32c not in (None, expected.crc32c) else None


def is_kept(o: ObjectRecord) -> bool:
    return not o.name.startswith("tmp/")


def unit_objects(run: Run, step: str, unit: int) -> Iterator[str]:
    """Names of the objects that a unit must have written and that stay."""
    if step == "solve":
        return
    if step == "render":
        box = run.volume.slab_box(unit)
        yield from (thumbnail_name(z) for z in range(box.begin[0], box.end[0]))
    yield from (s.name for s in unit_shards(run.volume, step, unit) if s.name.startswith(KEPT))


def _digest(entries: list[Entry]) -> str:
    """Digest over names, sizes and checksums, whatever units they were written by."""
    total = hashlib.sha256()
    for name, size, crc32c in sorted(entries):
        total.update(f"{name} {size} {crc32c}\n".encode())
    return total.hexdigest()[:32]
