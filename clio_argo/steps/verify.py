"""Proves that the volume is complete: every expected object is there, as it was written, and nothing else is."""

from collections.abc import Iterable

from clio_argo.errors import BrokenVolume
from clio_argo.model.formats import thumbnails
from clio_argo.model.run import ObjectRecord, Verification
from clio_argo.steps.base import Outputs, Run
from clio_argo.store.volumes import expected_objects

VERIFY = "verify.json"
SHOWN = 20


def run(run: Run, part: int) -> Outputs:
    """Compare names and sizes of all objects with the manifest (their checksums were taken when written)."""
    recorded = recorded_objects(run)
    problems = compare(run, recorded)
    if problems:
        raise BrokenVolume("\n".join([f"the volume is broken in {len(problems)} places:", *problems[:SHOWN],
                                      "run the same command again to mend it"]))  # fmt: skip
    total = sum(o.size for o in recorded.values())
    report = Verification(mode="quick", objects=len(recorded), bytes=total)
    run.store.write(VERIFY, report.to_bytes())
    return {"objects": report.objects, "bytes": report.bytes}


def recorded_objects(run: Run) -> dict[str, ObjectRecord]:
    """All objects of the volumes that the manifest knows of, by name."""
    spec = run.volume
    steps = {"render": spec.render, "write": spec.write, "coarsen": spec.coarsen}
    records = (r for step, work in steps.items() for r in run.records(step, range(work.units)))
    return {o.name: o for record in records for o in record.objects if o.name.startswith(_folders(run))}


def _folders(run: Run) -> tuple[str, ...]:
    return "ng/", f"{run.volume.aligned}/", "thumbnails/"


def compare(run: Run, recorded: dict[str, ObjectRecord]) -> list[str]:
    """What is missing, has another size, or does not belong there."""
    expected = {*expected_objects(run.volume), *thumbnails(run.volume)}
    sizes = {n: s for folder in _folders(run) for n, s in run.store.sizes(folder).items()}
    data = {n for n in sizes if not n.endswith((".json", "info", "provenance"))}
    return [
        *_lines(sorted(expected - recorded.keys()), "was never written"),
        *_lines(sorted(recorded.keys() - sizes.keys()), "is missing"),
        *_lines(sorted(data - expected), "does not belong to this volume"),
        *(
            f"  - {n}: has {sizes[n]} bytes instead of {o.size}"
            for n, o in sorted(recorded.items())
            if n in sizes and sizes[n] != o.size
        ),
    ]


def _lines(names: Iterable[str], what: str) -> list[str]:
    return [f"  - {n}: {what}" for n in names]
