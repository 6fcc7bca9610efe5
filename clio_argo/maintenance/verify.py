"""Verifies that a run is whole, from its store alone: no source, no slices, no log is needed."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from clio_argo.errors import UserError
from clio_argo.kernels import limit_threads
from clio_argo.maintenance.check_bytes import NEEDED, Checked, check_bytes, check_completion, check_documents
from clio_argo.maintenance.places import RunOrStore, trusted_run
from clio_argo.model.layout import CONFIG, FORMER_STEPS, PLAN
from clio_argo.model.plan import FanOut, Plan
from clio_argo.model.run import Mode, Verification
from clio_argo.model.step import Counts, Part, Pipeline, Step, StepResult
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import NoProgress, Progress, cores, spread, worker_pool
from clio_argo.store.documents import Store
from clio_argo.workspace.comparison import compare, listing, only_aligned, volume_steps
from clio_argo.workspace.run import Run, open_run

NO_VOLUMES = "the run has no volumes yet: what `align` wrote was checked, and `run` continues from there"
TASKS_PER_WORKER = 8  # so that no worker waits for the last part for longer than an eighth of its share


def verify(
    run: RunOrStore,
    mode: Mode = "default",
    workers: int | None = None,
    progress: Progress | None = None,
    pipeline: Pipeline = PIPELINE,
) -> Verification:
    """Compare a finished run with its manifest; writes nothing.

    mode: quick compares names, sizes and, where the store lists them, checksums. default also reads every byte of what
        stays of the run. deep also decodes both volumes, and compares samples with what they were made from.

    Raises:
        UserError: there is no run, or it leads to other places.
    """
    with worker_pool(workers or cores()) as pool:
        return verify_store(existing_run(run, pipeline), mode, pool, progress or NoProgress(), pipeline)


def existing_run(run: RunOrStore, pipeline: Pipeline) -> Store:
    """The store of a run. Raises `UserError` if there is none, or if it leads to other places."""
    store = trusted_run(run)
    if all(store.read(name) is None for name in (CONFIG, PLAN)):
        raise UserError(f"{store.url} holds no run")
    _refuse_other_steps(store, pipeline)
    return store


def _refuse_other_steps(store: Store, pipeline: Pipeline) -> None:
    """Refuse a run whose pipeline has other steps: what these wrote would count as unexpected."""
    plan = store.intact(Plan, PLAN)
    steps = {*pipeline.versions, *FORMER_STEPS.values()}
    if plan and (unknown := sorted(plan.algorithms.keys() - steps)):
        raise UserError(
            f"{store.url}: was made with the steps {', '.join(unknown)}; name their pipeline by --pipeline, or by "
            "pipeline= in Python"
        )


def verify_store(
    store: Store, mode: Mode, pool: ProcessPoolExecutor, progress: Progress, pipeline: Pipeline
) -> Verification:
    """Verify the run in a store with an existing pool of workers, as `verify` does."""
    run = Run(store, pipeline["verify"], pipeline)
    faults = check_documents(run)
    if lost := sorted({f.name for f in faults} & NEEDED):
        note = f"the volumes were not checked, since {', '.join(lost)} cannot be relied on"
        return Verification(mode=mode, objects=0, bytes=0, faults=tuple(faults), notes=(note,))
    aligned = only_aligned(run)
    steps = [s for s in volume_steps(run) if not aligned or s in pipeline.until("solve")]
    verification = compare(run, listing(run), steps)
    faults += [*verification.faults, *([] if aligned else check_completion(run, verification))]
    notes = verification.notes
    if mode != "quick":
        checked = Checked.of(_check_volumes(run, steps, mode, pool, progress))
        faults += checked.faults
        notes = tuple(dict.fromkeys(checked.notes))
    notes = (*([NO_VOLUMES] if aligned else []), *notes)
    # the listing and the reading may find the same damage: the first fault of each object counts
    left = len(run.store.leftovers())
    distinct = tuple({f.name: f for f in reversed(faults)}.values())[::-1]
    return verification.model_copy(update={"mode": mode, "faults": distinct, "notes": notes, "leftovers": left})


def _check_volumes(
    run: Run, steps: Sequence[Step], mode: Mode, pool: ProcessPoolExecutor, progress: Progress
) -> Iterator[Checked]:
    """Read all units of some steps of the volumes in parallel."""
    for step in steps:
        numbers = run.unit_numbers(step)
        fan_out = FanOut.of(len(numbers), TASKS_PER_WORKER * cores())
        units = [[numbers[i] for i in fan_out.part(p)] for p in range(fan_out.parts)]
        parts = [Part(part=p, kind="units", first=u[0], last=u[-1]) for p, u in enumerate(units)]
        stage = f"check {step.name}"
        progress.stage(stage, f"check what {step.name} wrote", parts)
        check = partial(_check_part, step, run.store.url, run.pipeline, mode)
        calls = [partial(check, part, numbers) for part, numbers in zip(parts, units, strict=True)]
        for part, checked in spread(pool, calls):
            progress.part(stage, part, StepResult(counts=Counts(bytes=checked.bytes)))
            yield checked


def _check_part(
    step: Step, url: str, pipeline: Pipeline, mode: Mode, part: Part, units: Sequence[int]
) -> tuple[Part, Checked]:
    limit_threads()
    run = Run(open_run(url), step, pipeline)
    if mode == "default":
        return part, check_bytes(run, step, units)
    # imported here: it decodes slices, for which the container image of the step `verify` has no library
    from clio_argo.maintenance.check_voxels import check_voxels

    return part, Checked.of(check_voxels(run, step, unit) for unit in units)
