"""Repairs a run: does again the units whose objects are damaged or missing, and no other."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from pydantic import Field

from clio_argo.errors import UserError
from clio_argo.maintenance.check_bytes import NEEDED
from clio_argo.maintenance.verify import existing_run, verify_store
from clio_argo.model.base import Value
from clio_argo.model.layout import COMPLETE, CONFIG, TRANSFORMS, is_kept, record_name
from clio_argo.model.request import Request
from clio_argo.model.run import Completion, Fault, Mode, Verification
from clio_argo.model.step import Part, Pipeline, Step, StepResult, load
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import Progress, Quiet, cores, run_step, run_units, spread, walk, worker_pool
from clio_argo.store.documents import Store, crc32c
from clio_argo.workspace.run import Run, opened

# of what `solve` writes, all else follows from these
PLACES = {TRANSFORMS, record_name("solve", 0)}


class Repair(Value):
    """What was wrong, what was done about it, and what still is wrong."""

    found: Verification
    again: dict[str, int] = Field(description="Units done again, by step.")
    removed: tuple[str, ...] = Field(description="Unexpected objects.")
    left: Verification


def repair(
    run: str | os.PathLike[str],
    workers: int | None = None,
    progress: Progress | None = None,
    deep: bool = False,
    remove_foreign: bool = False,
    pipeline: Pipeline = PIPELINE,
) -> Repair:
    """Do again the units whose objects are damaged or missing, and no other; they come out as they were.

    Order is that of the pipeline, so that nothing is made from what is damaged. Where the documents of the alignment
    are damaged, the whole request is walked through again, which does what is missing.

    deep: look for damage as `verify` does with `deep`.

    Raises:
        UserError: there is no run, or its request is lost.
        ClioError: a slice that has to be rendered again is gone or has changed.
    """
    counting = _Counting(progress or Quiet())
    mode: Mode = "deep" if deep else "default"
    with worker_pool(workers or cores()) as pool:
        repairer = _Repairer(existing_run(run), pipeline, pool, counting)
        before = repairer.verify(mode)
        unexpected = [f.name for f in before.faults if f.step is None and remove_foreign]
        # what does not show what it should although it is as it was written is done again like what was never done
        remade = {s.name for s in pipeline.steps if s.makes_volumes}
        wrong = [record_name(f.step, f.unit) for f in before.faults if f.step in remade and f.step and deep]
        for name in [*unexpected, *wrong]:
            repairer.store.delete(name)
        repairer.mend(before.faults)
        if NEEDED & {f.name for f in before.faults}:
            # now the volumes can be found and looked at
            repairer = _Repairer(opened(repairer.store.url), pipeline, pool, counting)
            repairer.mend(repairer.verify(mode).faults)
        left = repairer.verify("quick")
        if any(f.step == "publish" for f in left.faults):
            repairer.publish()
            left = repairer.verify("quick")
    return Repair(found=before, again=dict(+counting.done), removed=tuple(unexpected), left=left)


class _Counting:
    """Counts the units that are done, and passes on how it goes."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self.done = progress, Counter[str]()

    def stage(self, step: str, title: str, parts: Sequence[Part]) -> None:
        self._progress.stage(step, title, parts)

    def part(self, step: str, part: Part, result: StepResult) -> None:
        if not step.startswith("check "):
            self.done[step] += result.counts.done
        self._progress.part(step, part, result)

    def note(self, text: str) -> None:
        self._progress.note(text)


@dataclass(frozen=True)
class _Repairer:
    """A damaged run, and who works on it."""

    store: Store
    pipeline: Pipeline
    pool: ProcessPoolExecutor
    progress: _Counting

    def verify(self, mode: Mode) -> Verification:
        return verify_store(self.store, mode, self.pool, self.progress, self.pipeline)

    def publish(self) -> None:
        """Compare and publish again."""
        for name in ("verify", "publish"):
            run_step(self.pipeline[name], self.store.url, 0, self.pipeline)
            self.progress.done[name] += 1

    def mend(self, faults: Sequence[Fault]) -> None:
        """Do again what is damaged."""
        if any(f.name == CONFIG for f in faults):
            _restore_request(self.store)
            faults = [f for f in faults if f.name != CONFIG]
        if self._alignment_is_damaged(faults):
            walk(self.pipeline, self.store.url, self.pool, self.progress)
            return
        # a lossless volume under tmp/ may be gone, and its metadata with it
        if any(f.step == "solve" for f in faults) or not is_kept(f"{self._run.volume.aligned}/"):
            self._lay_out()
        redone = set[int]()
        for step, units in self._damaged(faults).items():
            # what was made from units that came out as they were is found done
            every = self._run.numbered_units(step)
            redone = units | {u for u in every if redone.intersection(self._needs(step, u))}
            self._redo(step, sorted(redone))

    @property
    def _run(self) -> Run:
        return Run(self.store, self.pipeline["solve"], self.pipeline)

    def _alignment_is_damaged(self, faults: Iterable[Fault]) -> bool:
        before = {s.name for s in self.pipeline.until("solve")[:-1]}
        return any(f.step in before or f.name in PLACES for f in faults)

    def _lay_out(self) -> None:
        from clio_argo.steps.solve import lay_out_again

        lay_out_again(self._run)
        self.progress.done["solve"] += 1

    def _redo(self, step: Step, units: Sequence[int]) -> None:
        self.progress.stage(step.name, step.title, [Part(part=unit) for unit in units])
        calls = [partial(_redo_unit, step, self.store.url, unit, self.pipeline) for unit in units]
        for part, result in spread(self.pool, calls):
            self.progress.part(step.name, part, result)

    def _damaged(self, faults: Sequence[Fault]) -> dict[Step, set[int]]:
        """Damaged units by step, in order; if no lossless volume was kept, with those that they are made from."""
        steps = [s for s in self.pipeline.steps if s.makes_volumes]
        damaged = {step: {f.unit for f in faults if f.step == step.name} for step in steps}
        if not is_kept(f"{self._run.volume.aligned}/"):
            for before, step in reversed(list(pairwise(steps))):
                damaged[before] |= {n for u in damaged[step] for n in self._needs(step, u)}
        return damaged

    def _needs(self, step: Step, unit: int) -> Iterable[int]:
        units: Iterable[int] = load(step.needs)(self._run, unit) if step.needs else ()
        return units


def _redo_unit(step: Step, url: str, unit: int, pipeline: Pipeline) -> tuple[Part, StepResult]:
    return Part(part=unit), run_units(step, url, [unit], pipeline)


def _restore_request(store: Store) -> None:
    """Write config.json as complete.json has it."""
    done = store.intact(Completion, COMPLETE)
    request = Request.model_validate(done.settings).to_bytes() if done else b""
    if done is None or crc32c(request) != done.config_digest:
        raise UserError(f"{store.url}{CONFIG} is damaged, and {COMPLETE} does not have it: run the same request again")
    store.write(CONFIG, request)
