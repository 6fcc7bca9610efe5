"""Looks after runs: proves that they are whole, and does again what is not."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from pydantic import Field

from clio_argo.errors import UserError
from clio_argo.kernels import limit_threads
from clio_argo.model.base import Value
from clio_argo.model.config import IngestConfig
from clio_argo.model.plan import FanOut
from clio_argo.model.run import Completion, Fault, Mode, Verification
from clio_argo.model.volume import VolumeSpec
from clio_argo.pipeline import PIPELINE, Step
from clio_argo.runner import Progress, Quiet, cores, run_step, run_units, spread, walk, worker_pool
from clio_argo.steps import coarsen, write
from clio_argo.steps.base import COMPLETE, CONFIG, PLAN, TRANSFORMS, Outputs, Run, opened
from clio_argo.steps.contents import NEEDED, Checked, completion, contents, documents
from clio_argo.steps.verify import compare, listing, volume_units
from clio_argo.store.documents import Store, crc32c
from clio_argo.store.manifest import record_name

TASKS_PER_WORKER = 8
MAKE = ("render", "write", "coarsen")
ALIGNMENT = {"plan", "match", "inspect", "relink"}
# of what `solve` writes, all else follows from these
PLACES = {TRANSFORMS, record_name("solve", 0)}


class Repair(Value):
    """What was wrong, what was done about it, and what still is wrong."""

    found: Verification
    again: dict[str, int] = Field(description="Units done again, by step.")
    removed: tuple[str, ...] = Field(description="Foreign objects.")
    left: Verification


def verify(
    run: str | os.PathLike[str],
    mode: Mode = "default",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Compare a finished run with its manifest, from the store alone; writes nothing.

    mode: quick compares names, sizes and, where the store lists them, checksums; default reads every byte of what
        stays of the run; deep decodes both volumes as well, and compares samples with what they were made from.

    Raises:
        UserError: there is no run.
    """
    with worker_pool(workers or cores()) as pool:
        return _verify(_existing(run), mode, pool, progress or Quiet())


def repair(
    run: str | os.PathLike[str],
    workers: int | None = None,
    progress: Progress | None = None,
    deep: bool = False,
    remove_foreign: bool = False,
) -> Repair:
    """Do again the units whose objects are damaged or missing, and no other; they come out as they were.

    Order is that of the pipeline, so that nothing is made from what is damaged. Where the documents of the alignment
    are damaged, the whole request is walked through again, which does what is missing.

    deep: look for damage as `verify` does with `deep`.

    Raises:
        UserError: there is no run, or its request is lost.
        ClioError: a slice that has to be rendered again is gone or has changed.
    """
    store, counting = _existing(run), _Counting(progress or Quiet())
    mode: Mode = "deep" if deep else "default"
    with worker_pool(workers or cores()) as pool:
        found = _verify(store, mode, pool, counting)
        foreign = [f.name for f in found.faults if f.step is None and remove_foreign]
        # what does not show what it should although it is as it was written is done again like what was never done
        wrong = [record_name(f.step, f.unit) for f in found.faults if f.step in MAKE and deep]
        for name in [*foreign, *wrong]:
            store.delete(name)
        _mend(store, found.faults, pool, counting)
        if NEEDED & {f.name for f in found.faults}:
            # now the volumes can be found and looked at
            store = opened(store.url)
            _mend(store, _verify(store, mode, pool, counting).faults, pool, counting)
        left = _verify(store, "quick", pool, counting)
        if any(f.step == "publish" for f in left.faults):
            for step in ("verify", "publish"):
                run_step(PIPELINE[step], store.url, 0)
                counting.done[step] += 1
            left = _verify(store, "quick", pool, counting)
    return Repair(found=found, again=dict(+counting.done), removed=tuple(foreign), left=left)


class _Counting:
    """Counts the units that are done, and passes on how it goes."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self.done = progress, Counter[str]()

    def stage(self, step: str, parts: int) -> None:
        self._progress.stage(step, parts)

    def part(self, step: str, outputs: Outputs) -> None:
        self.done[step] += outputs.get("done", 0)
        self._progress.part(step, outputs)

    def note(self, text: str) -> None:
        self._progress.note(text)


def _existing(run: str | os.PathLike[str]) -> Store:
    store = opened(os.fspath(run))
    if all(store.read(name) is None for name in (CONFIG, PLAN)):
        raise UserError(f"{store.url} holds no run")
    return store


def _verify(store: Store, mode: Mode, pool: ProcessPoolExecutor, progress: Progress) -> Verification:
    run = Run(store, "verify", ())
    faults = documents(run)
    if lost := sorted({f.name for f in faults} & NEEDED):
        note = f"the volumes were not looked at, since {', '.join(lost)} cannot be relied on"
        return Verification(mode=mode, objects=0, bytes=0, faults=tuple(faults), notes=(note,))
    found = compare(run, listing(run))
    faults += [*found.faults, *completion(run, found)]
    notes = found.notes
    if mode != "quick":
        checked = Checked.of(_read(run, mode, pool, progress))
        faults += checked.faults
        notes = tuple(dict.fromkeys(checked.notes))
    once = {f.name: f for f in reversed(faults)}
    return found.model_copy(update={"mode": mode, "faults": tuple(reversed(once.values())), "notes": notes})


def _read(run: Run, mode: Mode, pool: ProcessPoolExecutor, progress: Progress) -> Iterator[Checked]:
    """Read all units of both volumes, many at a time."""
    for step, units in volume_units(run).items():
        parts = FanOut.of(len(units), TASKS_PER_WORKER * cores())
        calls = [
            partial(_check, PIPELINE[step], run.store.url, parts.part(p), mode) for p in range(parts.parts)
        ]
        progress.stage(f"check {step}", len(calls))
        for checked in spread(pool, calls):
            progress.part(f"check {step}", {"bytes": checked.bytes, "faults": len(checked.faults)})
            yield checked


def _check(step: Step, url: str, units: range, mode: Mode) -> Checked:
    limit_threads()
    run = Run(opened(url), step.name, step.settings)
    if mode == "default":
        return contents(run, step.name, units)
    from clio_argo.steps.deep import deep

    return Checked.of(deep(run, step.name, unit) for unit in units)


def _mend(store: Store, faults: Sequence[Fault], pool: ProcessPoolExecutor, progress: _Counting) -> None:
    """Do again what is damaged."""
    if any(f.name == CONFIG for f in faults):
        _restore_request(store)
        faults = [f for f in faults if f.name != CONFIG]
    if {f.step for f in faults} & ALIGNMENT or {f.name for f in faults} & PLACES:
        walk(PIPELINE, store.url, pool, progress)
        return
    if laid_out := any(f.step == "solve" for f in faults):
        _lay_out(store, progress)
    spec = Run(store, "repair", ()).volume
    kept = not spec.aligned.startswith("tmp/")
    if not (kept or laid_out):
        _lay_out(store, progress)
    redone = set[int]()
    for step, units in _damaged(spec, faults, kept).items():
        every = range(spec.work[step].units)
        # what was made from units that came out as they were is found done
        redone = units | {u for u in every if redone and redone.intersection(_needed(spec, step, u))}
        progress.stage(step, len(redone))
        calls = [partial(run_units, PIPELINE[step], store.url, [u]) for u in sorted(redone)]
        for told in spread(pool, calls):
            progress.part(step, told)


def _restore_request(store: Store) -> None:
    """Write config.json as complete.json has it."""
    done = store.intact(Completion, COMPLETE)
    request = IngestConfig.model_validate(done.settings).to_bytes() if done else b""
    if done is None or crc32c(request) != done.config_digest:
        raise UserError(
            f"{store.url}{CONFIG} is damaged, and {COMPLETE} does not have it: run the same request again"
        )
    store.write(CONFIG, request)


def _lay_out(store: Store, progress: _Counting) -> None:
    from clio_argo.steps.solve import lay_out_again

    lay_out_again(Run(store, "solve", PIPELINE["solve"].settings))
    progress.done["solve"] += 1


def _damaged(spec: VolumeSpec, faults: Sequence[Fault], kept: bool) -> dict[str, set[int]]:
    """Damaged units by step, in order; if no lossless volume was kept, with those that they are made from."""
    found = {step: {f.unit for f in faults if f.step == step} for step in MAKE}
    for before, step in (("write", "coarsen"), ("render", "write")):
        if not kept:
            found[before] |= {n for u in found[step] for n in _needed(spec, step, u)}
    return found


def _needed(spec: VolumeSpec, step: str, unit: int) -> Iterable[int]:
    """The units of the step before that a unit of `write` or `coarsen` reads."""
    return write.needed(spec, unit) if step == "write" else coarsen.needed(spec, unit)
