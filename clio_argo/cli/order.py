"""Which file became which z, as `plan`, `init` and `renumber` show it."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType

from clio_argo.cli.console import literal, table
from clio_argo.cli.views import LONG_LIST
from clio_argo.model.request import Request
from clio_argo.workspace.preflight import Preflight

# of either end of a long list
ENDS = 5


def order_rows(checked: Preflight) -> list[dict[str, Any]]:
    """File and page of each z that has one, whether or not it can be used."""
    usable = [(s.z, s.name, s.page) for unit in checked.units for s in unit.slices]
    others = [(p.z, p.file, 0) for p in checked.plan.problems if p.z is not None and p.file]
    return [{"z": z, "file": file, "page": page} for z, file, page in sorted(usable + others)]


def order_view(request: Request, checked: Preflight) -> Iterator[RenderableType]:
    """The files in the order of their names, if that tells their z."""
    if request.order == "name":
        rows = order_rows(checked)
        several = any(row["page"] for row in rows)
        shown = [(str(row["z"]), row["file"] + (f", page {row['page']}" if several else "")) for row in rows]
        yield ends_of(shown, "plan -o json", "z", "file")


def ends_of(rows: Sequence[tuple[str, ...]], all_in: str, *columns: str) -> RenderableType:
    """A table of rows; of a long list its ends, and where all are."""
    shown, more = table(*columns), len(rows) - 2 * ENDS
    is_long = len(rows) > LONG_LIST
    for row in rows[:ENDS] if is_long else rows:
        shown.add_row(*map(literal, row))
    if is_long:
        shown.add_row("...", f"{more} more, all in {all_in}")
        for row in rows[-ENDS:]:
            shown.add_row(*map(literal, row))
    return shown
