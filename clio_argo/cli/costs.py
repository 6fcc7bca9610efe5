"""What the stages of a run took, as `show --cost` shows it."""

from collections.abc import Iterator

from rich.console import RenderableType

from clio_argo.cli.console import facts, table
from clio_argo.model.run import Costs
from clio_argo.report.formats import duration


def cost_view(costs: Costs) -> Iterator[RenderableType]:
    """A line for each stage, and what all of them cost."""
    rows = table("stage", "units", "expected", "CPU time", "of it", "by the clock", "peak memory")
    for s in costs.stages:
        known = s.estimated_s is not None
        expected = duration(s.estimated_s or 0) if known else "?"
        share = f"{s.cpu_s / s.estimated_s:.0%}" if s.estimated_s else ""
        cells = (duration(s.cpu_s), share, duration(s.wall_s), f"{s.peak_mib:.0f} MiB")
        rows.add_row(s.step, str(s.units), expected, *cells)
    yield rows
    per_tb = ", ".join(f"${price:.2f} ({kind})" for kind, price in costs.per_tb.items())
    left = [("left", f"about {duration(costs.left_s)} of CPU time")] if costs.left_s else []
    yield facts([
        ("all", f"CPU {duration(costs.cpu_s)}; {costs.vcpu_h:.3f} vCPU hours"),
        *left,
        ("per TB", f"{per_tb} of compute for 10^12 bytes of grey values, at prices of {costs.priced}"),
    ])  # fmt: skip
