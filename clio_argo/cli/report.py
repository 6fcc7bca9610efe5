"""`clio-argo report`: how two runs of one stack differ."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from typer import Argument

from clio_argo.cli.commands import LOOK, command
from clio_argo.cli.console import facts, literal, show, table
from clio_argo.cli.options import Form
from clio_argo.model.base import counted, few

if TYPE_CHECKING:
    from clio_argo.model.two_runs import TwoRuns

commands = typer.Typer()


@command(commands, LOOK)
def report(
    first: Annotated[str, Argument(help="Folder or bucket of a run.", metavar="A")],
    second: Annotated[str, Argument(help="That of another run of the same stack.", metavar="B")],
    output: Form = None,
) -> None:
    """Compare two runs of a stack: settings, verdicts, places of neighbours against each other, residuals."""
    import clio_argo
    from clio_argo.model.parse_request import differing_keys
    from clio_argo.model.two_runs import compare_runs

    one, two = clio_argo.open(first), clio_argo.open(second)
    size = (one.plan.width, one.plan.height)
    settings = [line for line in differing_keys(two.request, one.request) if not line.startswith("buckets.")]
    found = compare_runs(one.transforms, two.transforms, settings, size)
    show(found.model_dump(mode="json"), output, lambda: _view(found))


def _view(found: "TwoRuns") -> Iterator[RenderableType]:
    for line in found.settings:
        yield literal(f"setting  {line}")
    for name, numbers in (("A", found.only_first), ("B", found.only_second)):
        if numbers:
            yield literal(f"only {name} has {counted(len(numbers), 'slice')}: z {few([str(z) for z in numbers])}")
    if found.verdicts:
        verdicts = table("z", "A", "B")
        for v in found.verdicts:
            verdicts.add_row(str(v.z), literal(v.first), literal(v.second))
        yield verdicts
    if found.largest:
        places = table("neighbours", "placed otherwise by")
        for p in found.largest:
            places.add_row(f"z {p.z0}, {p.z1}", f"{p.px:.2f} px")
        yield places
    median = "" if found.median_px is None else f", {found.median_px:.2f} px apart (median)"
    yield facts([
        ("places", f"{counted(found.compared, 'pair')} of neighbours compared{median}"),
        ("residual", " -> ".join("unknown" if r is None else f"{r:.2f} px" for r in found.residual_px)),
        ("matched pairs", " -> ".join(map(str, found.matched))),
    ])  # fmt: skip
    if found.alike:
        yield "the slices have the same verdicts and lie at the same places"
