"""What `init` shows of a stack: as `plan`, and three slices in small where the terminal has greys."""

import shutil
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.console import Console, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text

from clio_argo.cli.console import facts, literal
from clio_argo.cli.order import order_view
from clio_argo.cli.views import plan_view
from clio_argo.model.write_request import written_values
from clio_argo.workspace.first_look import FirstLook

# half of a terminal of 40 lines, and what lies between three that stand side by side
MOST_PX, GAP = 40, 2
# colours of terminals that have enough greys
GREYS = ("256", "truecolor")


def largest_px() -> int:
    """Longest side of a picture of which three fit into the terminal."""
    return max(1, min(MOST_PX, shutil.get_terminal_size().columns // 3 - GAP))


def look_view(look: FirstLook, out: Console) -> Iterator[RenderableType]:
    """What `plan` shows of the stack, what else was found, and slices in small where the console can show them."""
    plan = look.checked.plan
    yield from plan_view(look.request, plan, look.checked.volume, look.checked.warning)
    yield from order_view(look.request, look.checked)
    # what plan says is said once
    notes = {k: v for k, v in look.notes.items() if v and v not in plan.found.values()}
    notes = {"image": "", "image_regex": "", **notes}
    values = ((k, v, notes[k]) for k, v in written_values(look.request, look.notes).items() if k in notes)
    if rows := [(key, f"{value}  ({note})" if note else value) for key, value, note in values]:
        yield facts(rows)
    yield from (literal(f"note: {remark}") for remark in look.remarks)
    yield from (literal(f"z {g.z} does not decode: {g.reason}") for g in look.glimpses if g.image is None)
    if out.is_terminal and out.color_system in GREYS and not out.no_color:
        shown = [(f"z {g.z}", half_blocks(g.image)) for g in look.glimpses if g.image is not None]
        pictures = Table.grid(padding=(0, GAP, 0, 0))
        for row in zip(*shown, strict=True):
            pictures.add_row(*row)
        yield pictures


def half_blocks(image: NDArray[np.uint8]) -> Text:
    """A grey image [y, x] as text: each character is two pixels, the upper one in front of the lower one."""
    pairs = image[: len(image) // 2 * 2].reshape(-1, 2, image.shape[1])
    lines = [Text.assemble(*(("▀", _style(*pair)) for pair in row.T.tolist())) for row in pairs]
    return Text("\n").join(lines)


def _style(upper: int, lower: int) -> Style:
    return Style(color=Color.from_rgb(upper, upper, upper), bgcolor=Color.from_rgb(lower, lower, lower))
