"""Rates of this machine and this stack: a calibration of two seconds, and the real steps on a few slices."""

import time
from collections.abc import Callable, Sequence
from importlib import import_module
from tempfile import TemporaryDirectory

import numpy as np

from clio_argo.errors import ClioError, UserError
from clio_argo.kernels.render import png, read_picture
from clio_argo.model.costs import PAIRS_PER_SLICE, Speed, UnitCosts
from clio_argo.model.layout import CONFIG, PLAN, USER_INPUTS, slices_name
from clio_argo.model.plan import SLICES_PER_UNIT, FanOut, Plan, SliceFile, SliceUnit
from clio_argo.model.regions import Crop
from clio_argo.model.request import FILES, Request
from clio_argo.model.sizes import COMPILED_PX, size_runs
from clio_argo.model.storage import Buckets
from clio_argo.model.user_inputs import UserInputs
from clio_argo.pipeline import PIPELINE
from clio_argo.placement.decide import Inputs, Statistics, decide
from clio_argo.placement.shapes import fix_shapes
from clio_argo.runner import run_step, worker_pool
from clio_argo.steps.match import pairs
from clio_argo.steps.solve import lay_out, write_transforms
from clio_argo.store.documents import Store
from clio_argo.workspace.fits import read_first_fits
from clio_argo.workspace.frame import read_pattern_share
from clio_argo.workspace.measured import unit_costs
from clio_argo.workspace.reduced import read_all_statistics
from clio_argo.workspace.run import Run

# chosen: two pairs, and seconds even of the largest slices; of small ones as many as take about a second and a unit
# has, since what a unit takes beside its slices (11 ms) is much for small ones
SLICES, SAMPLED_PX = 3, 4_500_000
# of the stack, where they are taken: elsewhere if one of them is bad
PLACES = (0.5, 0.25, 0.75)
# where the sample begins: three slices from here are two pairs (steps/match.py)
FIRST_Z = 1
# what is quickly done is done twice: the first time loads libraries, and fills caches
WARM_S = 6.0
# what large slices load: on a machine that has not compiled it yet, this would count as their work
COMPILED = ("clio_argo.kernels.cubic", "clio_argo.kernels.equalise", "clio_argo.store.images.png_filters")
# chosen, of copying and of decoding each: a person waits for it
CALIBRATION_S = 1.0
# chosen: more than caches hold
COPIED_BYTES, DECODED_PX = 2**26, 1024


def sampled_costs(request: Request, plan: Plan, units: Sequence[SliceUnit]) -> tuple[UnitCosts, str]:
    """Rates of this machine for this stack, and why only those of the machine are known, if that is so.

    Three neighbouring slices, more of small ones, are decoded and matched, and what they show is rendered and written.
    """
    slices = [s for unit in units for s in unit.slices]
    count = min(SLICES_PER_UNIT, max(SLICES, SAMPLED_PX // (plan.width * plan.height)))
    begins = dict.fromkeys(int(max(0, len(slices) - count) * place) for place in PLACES)
    # as workers are: memory is kept, and each has one thread
    with worker_pool(1) as pool:
        return pool.submit(_sample, request, plan, [slices[b : b + count] for b in begins]).result()


def _sample(request: Request, plan: Plan, places: Sequence[Sequence[SliceFile]]) -> tuple[UnitCosts, str]:
    if plan.width * plan.height >= COMPILED_PX:
        for module in COMPILED:
            import_module(module)
    known = UnitCosts.reference()
    speed = calibrate()
    slower = known.speed.over(speed)
    here = {"machine": "this machine", **speed._asdict()}
    reasons = []
    for slices in places:
        try:
            return _measured(request, plan, slices, known, slower).model_copy(update=here), ""
        except ClioError as error:
            reasons.append(str(error))
    return known.scaled({}, slower).model_copy(update=here), reasons[0]


def calibrate() -> Speed:
    """That of this machine."""
    source = np.ones(COPIED_BYTES, np.uint8)
    target = np.empty_like(source)
    # blurred noise has about the entropy of a slice
    noise = np.random.default_rng(0).integers(96, 160, (DECODED_PX, DECODED_PX)).astype(np.uint8)
    data = png(noise)
    copies, decoded = _rate(lambda: np.copyto(target, source)), _rate(lambda: read_picture(data))
    return Speed(copies * COPIED_BYTES / 1e9, decoded * noise.size / 1e6)


def _rate(action: Callable[[], object]) -> float:
    """How often an action is done in a CPU second."""
    action()
    begin, times = time.process_time(), 0
    while (spent := time.process_time() - begin) < CALIBRATION_S:
        action()
        times += 1
    return times / spent


def _measured(request: Request, plan: Plan, slices: Sequence[SliceFile], costs: UnitCosts, slower: float) -> UnitCosts:
    begin = time.process_time()
    found = _run(request, plan, slices, costs, slower)
    return found if time.process_time() - begin > WARM_S else _run(request, plan, slices, costs, slower)


def _run(request: Request, plan: Plan, slices: Sequence[SliceFile], costs: UnitCosts, slower: float) -> UnitCosts:
    """Rates that a run of a few slices in a temporary folder shows."""
    with TemporaryDirectory(prefix="clio-argo-estimate-") as folder:
        run = _planned(Store(folder), request, plan, slices)
        # what `plan` is followed by until all pairs are matched
        aligning = [s for s in PIPELINE.until("match")[1:] if run.plan.match.units or s.name != "match"]
        for step in aligning:
            run_step(step, run.store.url, 0)
        _solve(run)
        for step in (s for s in PIPELINE.steps if s.makes_volumes):
            run_step(step, run.store.url, 0, units=run.unit_numbers(step))
        usable = run.plan.usable
        matched = sum(1 for _ in pairs(range(FIRST_Z, FIRST_Z + usable), usable))
        return unit_costs(run, costs, slower, {"match": matched / (PAIRS_PER_SLICE * usable)})


def _planned(store: Store, request: Request, plan: Plan, slices: Sequence[SliceFile]) -> Run:
    """The run as `plan` would leave it if these were all slices, with nothing that concerns others."""
    part = [s.model_copy(update={"z": FIRST_Z + i}) for i, s in enumerate(slices)]
    one = FanOut(units=1, parts=1)
    skipped = not plan.match.units
    facts = {"minz": FIRST_Z, "maxz": part[-1].z, "sizes": size_runs([(s.z, s.size) for s in part])}
    units = {"usable": len(part), "problems": (), "unit_slices": len(part), "reduce": one}
    small = plan.model_copy(update={**facts, **units, **({} if skipped else {"match": one})})
    alone = request.model_copy(update={
        **dict.fromkeys(FILES), "crop": Crop(), "buckets": Buckets(), "resolution": plan.voxel_nm,
        "alignment": request.alignment.model_copy(update={"skip": skipped}),
    })  # fmt: skip
    store.write(CONFIG, alone.to_bytes())
    store.write(slices_name(0), SliceUnit(unit=0, slices=tuple(part)).to_bytes())
    store.write(USER_INPUTS, UserInputs().to_bytes())
    store.write(PLAN, small.to_bytes())
    return Run(store, PIPELINE["solve"], PIPELINE)


def _solve(run: Run) -> None:
    """Place the slices and fix the shapes, without suspects, gates and report."""
    files = {s.z: s for s in run.slices(0).slices}
    found = read_all_statistics(run)
    statistics = Statistics(found.slices, found.histogram, read_pattern_share(run), found.channels)
    transforms = decide(run.plan, files, statistics, read_first_fits(run), Inputs(UserInputs()), run.request)
    if bad := [f"{s.file}: {s.reason}" for s in transforms.slices if s.flagged]:
        raise UserError("; ".join(bad))
    lay_out(run, fix_shapes(run.request, run.plan, transforms), transforms, write_transforms(run, transforms))
