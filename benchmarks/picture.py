"""A picture of what each stage takes, before and now: docs/stages.svg."""

from collections.abc import Iterator, Mapping
from html import escape

from benchmarks.estimate import STACKS
from benchmarks.figures import Result

SPEED = "calibration: decoding PNG"
COLOURS = {
    "plan": "#8c8c8c", "reduce": "#4477aa", "match": "#66ccee", "solve": "#228833", "render": "#ccbb44",
    "write": "#ee6677", "publish": "#aa3377",
}  # fmt: skip
LEFT, WIDTH, HIGH, ROW, FONT = 210, 720, 22, 30, 13


def stages(result: Result, stack: str) -> dict[str, float]:
    """CPU time of each stage, as multiples of decoding so many bytes of PNG on the same machine."""
    values = {f.what: f.value for f in result.figures}
    of = STACKS[stack]
    decoding_s = of.slices * of.side**2 * of.itemsize / 1e6 / values[SPEED]
    return {stage: values[f"{stack}: {stage}"] / decoding_s for stage in COLOURS}


def picture(before: Result, now: Result) -> str:
    """SVG with two bars for each stack of the benchmark `estimate`, each as long as the longer one is of all."""
    lines, top = list(_legend()), 2 * ROW
    for stack in STACKS:
        both = {"before": stages(before, stack), "now": stages(now, stack)}
        longest = max(sum(each.values()) for each in both.values())
        for when, each in both.items():
            lines += _bar(f"{stack}, {when}", each, WIDTH / longest, top)
            top += ROW
        top += ROW // 2
    width = LEFT + WIDTH + 90
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" font-family="sans-serif"'
    return "\n".join(
        [f'{head} font-size="{FONT}">', '<rect width="100%" height="100%" fill="white"/>', *lines, "</svg>\n"]
    )


def _legend() -> Iterator[str]:
    for k, (stage, colour) in enumerate(COLOURS.items()):
        x = LEFT + 100 * k
        yield f'<rect x="{x}" y="12" width="14" height="14" fill="{colour}"/>'
        yield f'<text x="{x + 20}" y="{12 + FONT - 1}">{stage}</text>'


def _bar(name: str, each: Mapping[str, float], scale: float, top: int) -> Iterator[str]:
    yield f'<text x="{LEFT - 8}" y="{top + 16}" text-anchor="end">{escape(name)}</text>'
    x = float(LEFT)
    for stage, value in each.items():
        place = f'x="{x:.1f}" y="{top}" width="{value * scale:.1f}" height="{HIGH}" fill="{COLOURS[stage]}"'
        yield f"<rect {place}><title>{stage}: {value:.2f}</title></rect>"
        x += value * scale
    yield f'<text x="{x + 6:.1f}" y="{top + 16}">{sum(each.values()):.1f} x</text>'
