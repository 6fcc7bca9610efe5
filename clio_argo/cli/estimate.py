"""`clio-argo estimate`: what a run will take and cost, here and on a cluster."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import RenderableType
from rich.table import Table
from typer import Option

from clio_argo.cli.commands import MAKE, command
from clio_argo.cli.console import facts, show, table, tell_wait
from clio_argo.cli.options import Form, RequestOptions
from clio_argo.errors import UserError
from clio_argo.model.base import counted
from clio_argo.model.costs import LEAST_BYTES, Basis, Estimate, UnitCosts
from clio_argo.model.prices import MACHINE, NODES, Bill, Cluster, Prices, bill, local_cpu_s, local_wall_s
from clio_argo.model.request import Request

if TYPE_CHECKING:
    from clio_argo.workspace.preflight import Preflight

commands = typer.Typer()
BASES = {
    "headers": "rates of {machine}, on which the benchmarks ran; nothing was decoded",
    "sample": "rates of this machine, by a few slices of the stack",
    "run": "rates of the run {machine}",
}


@dataclass(frozen=True)
class Nodes:
    """The cluster that is priced."""

    nodes: Annotated[int, Option(min=1, help="Nodes at a time, at most.")] = NODES
    machine: Annotated[str, Option(help="Type of the nodes.")] = MACHINE
    spot: Annotated[bool, Option("--spot", help="Spot nodes, which are cheaper and may be taken away.")] = False
    prices: Annotated[
        Path | None, Option(help="JSON file of other machines and prices, like clio_argo/model/prices.json.")
    ] = None  # fmt: skip

    def cluster(self) -> Cluster:
        """Raises `UserError` if the machine has no price, or the file of prices is none."""
        prices = read_prices(self.prices) if self.prices else Prices.reference()
        prices.machine(self.machine)
        return Cluster(prices=prices, machine=self.machine, nodes=self.nodes, spot=self.spot)


def read_prices(path: Path) -> Prices:
    """The prices of a file. Raises `UserError`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    return Prices.from_bytes(data, str(path))


@command(commands, MAKE)
def estimate(
    request: RequestOptions,
    nodes: Nodes,
    run: Annotated[str | None, Option("--run", help="A finished run of such slices, whose real times count.")] = None,
    quick: Annotated[bool, Option("--quick", help="By the headers alone: decode nothing.")] = False,
    output: Form = None,
) -> None:
    """Tell what a run will take and cost, here and on a cluster. Decodes a few slices; nothing is written."""
    from clio_argo.pipeline import PIPELINE
    from clio_argo.runner import workers_of
    from clio_argo.workspace.estimate import estimate as estimate_run
    from clio_argo.workspace.parts import estimate_on_cluster
    from clio_argo.workspace.preflight import preflight

    if run and quick:
        raise UserError("give --run or --quick, not both")
    cluster, config = nodes.cluster(), request.read()
    tell_wait(config.source)
    checked = preflight(config)
    checked.refuse()
    rates = _rates(config, checked, run, quick)
    found = estimate_run(checked.plan, checked.need_volume, rates.costs, PIPELINE, rates.basis)
    there = estimate_on_cluster(config, checked.plan, checked.need_volume, rates.costs, PIPELINE, cluster.pods)
    shown = Shown(found, there, workers_of(config), bill(there, cluster), cluster, rates.why)
    show(shown.value(), output, lambda: estimate_view(shown))


class Rates(NamedTuple):
    """Rates, what tells them, and why only the machine could be measured; empty if the stack was, too."""

    costs: UnitCosts
    basis: Basis
    why: str = ""


def _rates(request: Request, checked: "Preflight", run: str | None, quick: bool) -> Rates:
    if quick:
        return Rates(UnitCosts.reference(), "headers")
    if run:
        return Rates(costs_of_run(run), "run")
    from clio_argo.sampling import sampled_costs

    costs, why = sampled_costs(request, checked.plan, checked.units)
    return Rates(costs, "sample", why)


@dataclass(frozen=True)
class Shown:
    """An estimate, and with the parts of a cluster; what they mean here and there."""

    found: Estimate
    there: Estimate
    workers: int
    bill: Bill
    cluster: Cluster
    why: str

    @property
    def pods(self) -> int:
        """Pods at a time, at most."""
        fit = (
            (s.parts, self.cluster.nodes_of(s) * self.cluster.pods_per_node(s.memory_mib)) for s in self.there.stages
        )
        return max(map(min, fit))

    def value(self) -> dict[str, Any]:
        """All of it as plain data."""
        local = {"workers": self.workers, "wall_s": local_wall_s(self.found, self.workers)}
        cluster = {"machine": self.cluster.machine, "spot": self.cluster.spot, "total": self.bill.total}
        return {
            "estimate": {**self.found.model_dump(mode="json"), "cpu_s": self.found.cpu_s},
            "local": {**local, "cpu_s": local_cpu_s(self.found, self.workers)},
            "cluster": {**cluster, **self.bill.model_dump()},
            "prices": {"date": self.cluster.prices.date, "source": self.cluster.prices.source},
            "warning": self.why,
        }


def costs_of_run(url: str) -> UnitCosts:
    """Rates that a finished run shows. Raises `UserError` if it has none."""
    from clio_argo.model.layout import COMPLETE, PLAN, VOLUME
    from clio_argo.pipeline import PIPELINE
    from clio_argo.workspace.measured import unit_costs
    from clio_argo.workspace.run import Run, open_run

    store = open_run(url)
    if any(store.read(name) is None for name in (PLAN, VOLUME, COMPLETE)):
        raise UserError(f"{store.url}{COMPLETE} does not exist: --run names a finished run, whose times are used")
    costs = unit_costs(Run(store, PIPELINE["publish"], PIPELINE), UnitCosts.reference())
    return costs.model_copy(update={"machine": store.url})


def estimate_view(shown: Shown) -> Iterator[RenderableType]:
    """Time, memory, costs, sizes, and all stages."""
    from clio_argo.cli.views import human_size
    from clio_argo.report.formats import duration

    found, costs, cluster, workers = shown.found, shown.bill, shown.cluster, shown.workers
    here = f"{duration(local_wall_s(found, workers))} with {counted(workers, 'worker')}"
    cpu = f"CPU {duration(local_cpu_s(found, workers))}, up to {found.memory_mib / 1024:.1f} GiB a worker"
    nodes = f"{costs.nodes} x {cluster.machine}{' (spot)' if cluster.spot else ''}"
    ready = (
        f"at most {counted(shown.pods, 'pod')} at a time; {duration(costs.start_s)} of it until the first node is ready"
    )
    idle = f"vCPU hours of nodes that start, or are idle for {duration(cluster.prices.delays.idle_s)}"
    per_tb = f"${costs.compute / found.source_bytes * 1e12:.2f} of compute for 10^12 bytes of grey values"
    yield facts([
        ("here", f"{here}, {cpu}; the largest stage is {found.largest.step}"),
        ("cluster", f"{duration(costs.wall_s)} on {nodes}, {ready}"),
        ("compute", f"${costs.compute:.2f}: {costs.busy_vcpu_h:.2f} vCPU hours, {costs.idle_vcpu_h:.2f} {idle}"),
        ("operations", f"${costs.operations:.2f}: {costs.writes:,} objects written, {costs.reads:,} read"),
        *((folder, f"{human_size(size)}: {_month(costs.month[folder])}") for folder, size in found.sizes_bytes.items()),
        ("objects", f"{found.objects:,} in the volumes"),
        *([("per TB", per_tb)] if found.source_bytes >= LEAST_BYTES else []),
        ("rates", BASES[found.basis].format(machine=found.machine)),
        ("prices", f"of {cluster.prices.date}: {cluster.prices.source}"),
        *([("warning", f"only the machine was measured, the slices cannot be: {shown.why}")] if shown.why else []),
    ])  # fmt: skip
    yield _stages(shown.there, costs)


def _month(prices: dict[str, float]) -> str:
    return ", ".join(f"${price:.2f} a month ({kind})" for kind, price in prices.items())


def _stages(found: Estimate, costs: Bill) -> Table:
    from clio_argo.report.formats import duration

    rows = table("stage", "CPU time", "parts", "memory", "waves", "on the cluster")
    stages = (s for s in found.stages if s.parts)
    for s, at in zip(stages, costs.stages, strict=True):
        cells = (str(s.parts), f"{s.memory_mib} MiB", str(at.waves), duration(at.wall_s))
        rows.add_row(s.step, duration(s.cpu_s), *cells)
    return rows
