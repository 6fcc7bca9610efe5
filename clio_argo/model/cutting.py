"""How the work of a stage is cut into parts, by the CPU time that it takes."""

import math
from dataclasses import dataclass
from typing import Self

from clio_argo.model.costs import MINUTE_S, Estimate, UnitCosts
from clio_argo.model.plan import FanOut
from clio_argo.model.prices import Prices
from clio_argo.model.request import Request

# a pod works so many times as long as it takes to start and end; where the whole stage is less, there is one
WORTH = 5


def pod_s() -> float:
    """Seconds that a pod takes to start and end."""
    return Prices.reference().delays.pod_s + UnitCosts.reference().start_s


def fits_one_pod(request: Request, expected: Estimate) -> bool:
    """Whether a run is so little work that one pod does all that comes after `plan`."""
    return expected.cpu_s_behind_plan < request.single_pod_minutes * MINUTE_S


@dataclass(frozen=True)
class Cutting:
    """The size of parts.

    most: parts of a stage, at most.
    part_s: CPU seconds that a part should take.
    at_once: pods that run at a time. 0: the parts run in processes of this machine, which are there already.
    """

    most: int
    part_s: float
    at_once: int = 0

    @classmethod
    def of(cls, request: Request, at_once: int) -> Self:
        """As a request has it."""
        return cls(request.max_parts, request.part_minutes * MINUTE_S, at_once)

    def fan_out(self, work: FanOut, cpu_s: float) -> FanOut:
        """Work that takes so many CPU seconds in all, in parts of this size."""
        if not self.at_once or not work.units:
            # small parts cost nothing then, and keep all workers busy to the end
            return FanOut.of(work.units, self.most, work.together)
        parts = max(self._by_time(cpu_s), min(self.at_once, _worth(work.groups, cpu_s)))
        return FanOut.of(work.units, max(1, min(self.most, parts)), work.together)

    def _by_time(self, cpu_s: float) -> int:
        """Parts of the wanted time; whole waves of pods, since the last one takes as long as a full one."""
        parts = math.ceil(cpu_s / self.part_s)
        return parts if parts <= self.at_once else self.at_once * round(parts / self.at_once)


def _worth(groups: int, cpu_s: float) -> int:
    """Most parts of which each takes far longer than its pod to start."""
    least_s = WORTH * pod_s()
    return groups // math.ceil(least_s * groups / cpu_s) if cpu_s > least_s else 1
