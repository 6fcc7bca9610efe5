"""Repairs a run: reruns the units whose objects are damaged or missing, and no others."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

from pydantic import Field

from clio_argo.errors import TransientError, UserError
from clio_argo.maintenance.check_bytes import NEEDED
from clio_argo.maintenance.places import RunOrStore
from clio_argo.maintenance.verify import existing_run, verify_store
from clio_argo.model.base import Value
from clio_argo.model.layout import CLEANED, COMPLETE, CONFIG, TRANSFORMS, keeps_lossless, record_name
from clio_argo.model.reference import load
from clio_argo.model.request import Request
from clio_argo.model.run import Completion, Fault, Mode, Verification
from clio_argo.model.step import Part, Pipeline, Step, StepResult
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import NoProgress, Progress, cores, run_part, run_step, spread, walk, worker_pool
from clio_argo.store.documents import Store, crc32c
from clio_argo.workspace.comparison import only_aligned, volume_steps
from clio_argo.workspace.run import Run, open_run

# `solve` has to decide again if one of these is damaged. All else that it writes follows from transforms.json.
DECISIONS = {TRANSFORMS, record_name("solve", 0)}


class Repair(Value):
    """What was wrong, what was rerun or removed, and what is still wrong."""

    found: Verification
    again: dict[str, int] = Field(description="Units rerun, by step.")
    removed: tuple[str, ...] = Field(description="Unexpected objects.")
    left: Verification


def repair(
    run: RunOrStore,
    workers: int | None = None,
    progress: Progress | None = None,
    deep: bool = False,
    remove_unexpected: bool | Callable[[Sequence[str]], bool] = False,
    pipeline: Pipeline = PIPELINE,
) -> Repair:
    """Rerun the units whose objects are damaged or missing, and no others; they write the same bytes as before.

    Units are rerun in the order of the pipeline, so that nothing is made from damaged objects. If documents of the
    alignment are damaged, the whole pipeline is run again, which reruns only what is missing.

    deep: find damage as `verify` does in mode deep.
    remove_unexpected: whether objects that do not belong to the run are deleted, or who decides that by their names.

    Raises:
        UserError: there is no run, it leads to other places, or its request is lost.
        ClioError: a slice that has to be rendered again is gone or has changed.
    """
    counting = _Counting(progress or NoProgress())
    mode: Mode = "deep" if deep else "default"
    with worker_pool(workers or cores()) as pool:
        repairer = _Repairer(existing_run(run, pipeline), pipeline, pool, counting)
        before = repairer.verify(mode)
        repairer.store.leftovers(remove=True)
        unexpected = [f.name for f in before.faults if f.step is None]
        if not (remove_unexpected(unexpected) if callable(remove_unexpected) else remove_unexpected):
            unexpected = []
        # Wrong voxels may have the right checksums. Their units are rerun because their records are deleted.
        remade = {s.name for s in pipeline.steps if s.makes_volumes}
        wrong = [record_name(f.step, f.unit) for f in before.faults if f.step in remade and f.step and deep]
        repairer.store.delete_all([*unexpected, *wrong])
        repairer.repair(before.faults)
        if NEEDED & {f.name for f in before.faults}:
            # the first look could not judge the volumes, since these documents were damaged
            repairer = _Repairer(open_run(repairer.store.url), pipeline, pool, counting)
            repairer.repair(repairer.verify(mode).faults)
        left = repairer.verify("quick")
        if any(f.step == "publish" for f in left.faults):
            repairer.publish()
            left = repairer.verify("quick")
    return Repair(found=before, again=dict(+counting.done), removed=tuple(unexpected), left=left)


class _Counting:
    """Counts the units that are rerun, and passes progress on."""

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
    """A damaged run, its pipeline, and the workers that repair it."""

    store: Store
    pipeline: Pipeline
    pool: ProcessPoolExecutor
    progress: _Counting

    def verify(self, mode: Mode) -> Verification:
        return verify_store(self.store, mode, self.pool, self.progress, self.pipeline)

    def publish(self) -> None:
        """Rerun the steps that describe the finished volumes: they depend on units of these and write none."""
        first = next(s for s in self.pipeline.steps if s.makes_volumes)
        for step in self.pipeline.steps:
            if step.name in self.pipeline.after(first.name) and step.entry and not (step.units or step.fan_out):
                run_step(step, self.store.url, 0, self.pipeline)
                self.progress.done[step.name] += 1

    def repair(self, faults: Sequence[Fault]) -> None:
        """Rerun the units of damaged objects."""
        if any(f.name == CONFIG for f in faults):
            _restore_request(self.store)
            faults = [f for f in faults if f.name != CONFIG]
        faults = [f for f in faults if f.name != COMPLETE or f.step is None]
        cleaned = self._run.is_cleaned
        if cleaned and any(f.step for f in faults):
            # what was removed may be needed again
            self.store.delete(CLEANED)
        if (cleaned and any(f.step == "publish" for f in faults)) or self._alignment_is_damaged(faults):
            walk(self.pipeline, self.store.url, self.pool, self.progress, "solve" if only_aligned(self._run) else None)
            return
        # a lossless volume under tmp/ may be gone, and its metadata with it
        if any(f.step == "solve" for f in faults) or not keeps_lossless(self._run.volume):
            self._lay_out()
        rerun: dict[str, set[int]] = {}
        for step, units in self._damaged(faults).items():
            # with the units made from those that were rerun; these find themselves done where the same bytes came out
            earlier, numbers = rerun.get(step.made_from, set()), self._run.unit_numbers(step)
            rerun[step.name] = units | {n for n in numbers if earlier.intersection(self._needs(step, n))}
            self._rerun(step, sorted(rerun[step.name]))

    @property
    def _run(self) -> Run:
        return Run(self.store, self.pipeline["solve"], self.pipeline)

    def _alignment_is_damaged(self, faults: Iterable[Fault]) -> bool:
        before = {s.name for s in self.pipeline.until("solve")[:-1]}
        return any(f.step in before or f.name in DECISIONS for f in faults)

    def _lay_out(self) -> None:
        from clio_argo.steps.solve import lay_out_again

        lay_out_again(self._run)
        self.progress.done["solve"] += 1

    def _rerun(self, step: Step, units: Sequence[int]) -> None:
        parts = [Part(part=unit) for unit in units]
        self.progress.stage(step.name, step.title, parts)
        calls = [partial(run_part, step, self.store.url, self.pipeline, part, [part.part]) for part in parts]
        for part, result in spread(self.pool, calls):
            self.progress.part(step.name, part, result)

    def _damaged(self, faults: Sequence[Fault]) -> dict[Step, set[int]]:
        """Damaged units by step, in order, with the units that they are made from if these did not stay."""
        steps = [s for s in volume_steps(self._run) if s not in self.pipeline.until("solve")]
        damaged = {step: {f.unit for f in faults if f.step == step.name} for step in steps}
        if not keeps_lossless(self._run.volume):
            # from the last step to the first: each adds to the one that it is made from
            for step in reversed([s for s in steps if s.made_from]):
                damaged[self.pipeline[step.made_from]] |= {n for u in damaged[step] for n in self._needs(step, u)}
        return damaged

    def _needs(self, step: Step, unit: int) -> Iterable[int]:
        units: Iterable[int] = load(step.needs)(self._run, unit) if step.needs else ()
        return units


def _restore_request(store: Store) -> None:
    """Write config.json again from the settings in complete.json. Raises `UserError` if they are not the same."""
    generation, done = store.generation(CONFIG), store.intact(Completion, COMPLETE)
    request = Request.model_validate(done.settings).to_bytes() if done else b""
    if done is None or crc32c(request) != done.config_digest:
        raise UserError(
            f"{store.url}{CONFIG} is damaged, and {COMPLETE} does not have it: run the same request "
            "with --update, which keeps finished units"
        )
    if not store.replace(CONFIG, request, generation):
        raise TransientError(f"{store.url}{CONFIG}: another process changed it at the same time; try again")
