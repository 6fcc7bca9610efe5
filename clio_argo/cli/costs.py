"""Costs of a run as other commands than `estimate` show them: a line before it, a table after it."""

from collections.abc import Iterator

from rich.console import RenderableType

from clio_argo.cli.console import facts, table
from clio_argo.errors import UserError
from clio_argo.model.base import counted
from clio_argo.model.costs import Estimate, UnitCosts
from clio_argo.model.plan import Plan
from clio_argo.model.prices import MACHINE, NODES, Cluster, Prices, bill, local_wall_s
from clio_argo.model.request import Request
from clio_argo.model.run import Costs
from clio_argo.model.volume import VolumeSpec
from clio_argo.pipeline import PIPELINE
from clio_argo.report.formats import dollars, duration
from clio_argo.workspace.parts import estimate_on_cluster


def cost_view(costs: Costs) -> Iterator[RenderableType]:
    """A line for each stage, and what all of them cost."""
    rows = table("stage", "units of work", "expected", "CPU time", "of expected", "by the clock", "peak memory")
    for s in costs.timed:
        known = s.estimated_s is not None
        expected = duration(s.estimated_s or 0) if known else "?"
        share = f"{s.cpu_s / s.estimated_s:.0%}" if s.estimated_s else ""
        cells = (duration(s.cpu_s), share, duration(s.wall_s), f"{s.peak_mib:.0f} MiB")
        rows.add_row(s.step, str(s.units), expected, *cells)
    yield rows
    compute, per_tb = (
        ", ".join(f"{dollars(price)} ({kind})" for kind, price in prices.items())
        for prices in (costs.compute, costs.per_tb)
    )
    left = [("left", f"about {duration(costs.left_s)} of CPU time")] if costs.left_s else []
    yield facts([
        ("all", f"CPU {duration(costs.cpu_s)}; {costs.vcpu_h:.3f} vCPU hours"),
        *left,
        ("compute", f"{compute}, at prices of {costs.priced}"),
        *([("per TB", f"{per_tb} of compute for 10^12 bytes of grey values")] if per_tb else []),
    ])  # fmt: skip


def estimate_line(request: Request, plan: Plan, volume: VolumeSpec, found: Estimate, workers: int) -> str:
    """What a run takes, in a line, by the rates and prices of the package; `found` is what it takes here."""
    here = f"about {duration(local_wall_s(found, workers))} here with {counted(workers, 'worker')}"
    cluster = Cluster(prices=Prices.reference(), machine=MACHINE, nodes=NODES)
    try:
        there = estimate_on_cluster(request, plan, volume, UnitCosts.reference(), PIPELINE, cluster.pods)
        costs = bill(there, cluster)
    except UserError:  # pods that fit on no such node
        return f"{here}; clio-argo estimate tells more"
    return f"{here}, or {duration(costs.wall_s)} and ${costs.total:.2f} on a cluster; clio-argo estimate tells more"
