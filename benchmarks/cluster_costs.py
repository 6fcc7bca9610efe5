"""What each step of a stack takes as a whole: CPU time of its estimate, and waiting for the store."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.cluster_site import Delays
from benchmarks.cluster_stack import Stack
from clio_argo.model.costs import UnitCosts
from clio_argo.pipeline import Pipeline
from clio_argo.workspace.estimate import estimate

# stored bytes per pixel of the source (benchmark `files`)
PNG = 0.69
# CPU time of fits around suspects, of that of all first fits in the same units (benchmark `align`, 5 % defects)
AGAIN = 0.6
# requests per slice that follow one another: headers, and documents of a unit of 16 slices that are written and read
# back, 64 at a time; a slice and its picture; of shards 16 are under way (docs/reliability.md)
TRIPS = {
    "plan": (2.04 + 2 / 16) / 64, "reduce": 28 / 16, "match": 17 / 16, "rematch": 17 / 16, "solve": 2 / 16 / 64,
    "render": 3.0,
}  # fmt: skip


@dataclass(frozen=True)
class Work:
    """Of all parts of a step together: CPU seconds, and seconds in which a part waits for the store.

    A part has one thread: while it waits it computes nothing.
    """

    cpu_s: float = 0.0
    wait_s: float = 0.0


def work_of(stack: Stack, pipeline: Pipeline, delays: Delays) -> dict[str, Work]:
    """The work of each step. A step of one's own, which nobody measured, takes its pod only."""
    costs = UnitCosts.reference()
    cpu_s = {s.step: s.cpu_s for s in estimate(stack.plan, stack.volume, costs, pipeline).stages}
    again = stack.suspects.rematch.units / stack.plan.match.units
    cpu_s["rematch"] = AGAIN * again * cpu_s["match"]
    stored, slices = _stored_bytes(stack, costs), {"rematch": again * stack.plan.usable}
    return {
        step: Work(seconds, stored.get(step, 0.0) / (delays.store_mb_s * 1e6)
                   + TRIPS.get(step, 0.0) * slices.get(step, stack.plan.usable) * delays.request_s)
        for step, seconds in cpu_s.items()
    }  # fmt: skip


def _stored_bytes(stack: Stack, costs: UnitCosts) -> Mapping[str, float]:
    """Bytes that pass between pods and the store, by step."""
    volume, source = stack.volume, PNG * stack.plan.pixels
    fine, *coarse = (math.prod(scale.size) for scale in volume.scales)
    in_tier = sum(coarse[: volume.write_tier.last])
    both = costs.lossless.coarse + costs.viewer.coarse
    middle = math.prod(volume.scales[volume.coarsen_tier.source].size)
    return {
        "reduce": source,
        "render": source + costs.lossless.fine * fine,
        "write": (costs.lossless.fine + costs.viewer.fine) * fine + both * in_tier,
        "coarsen": costs.lossless.coarse * middle + both * sum(coarse[volume.write_tier.last :]),
    }
