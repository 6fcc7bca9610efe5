"""The same benchmarks of this tree and of an earlier commit, in turns, so that both meet the same machine."""

import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.table import Table

from benchmarks.figures import Figure, number
from benchmarks.measure import ROOT

LOCK = "requirements-dev.lock"
Measure = Callable[[Path], Sequence[Figure]]


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A folder with the files of a commit, and an environment of its own if it locks other packages."""
    tree = ROOT / "build" / f"base-{commit.replace('/', '-')}"
    _call("git", "worktree", "add", "--force", "--detach", str(tree), commit)
    try:
        if (tree / LOCK).read_bytes() != (ROOT / LOCK).read_bytes():
            _call("make", "--silent", "--directory", str(tree), ".venv/dev")
        yield tree
    finally:
        _call("git", "worktree", "remove", "--force", str(tree))


def _call(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-4000:]}")


def in_turns(measure: Measure, base: Path) -> list[tuple[Figure, list[float], list[float]]]:
    """Each figure that both trees have, with what it was in each round, of `base` and of this tree."""
    found: dict[Path, list[dict[str, Figure]]] = {base: [], ROOT: []}
    # each is first once and last once: what the machine does meanwhile, slower or faster, meets both
    for tree in (base, ROOT, ROOT, base):
        found[tree].append({f.what: f for f in measure(tree)})
    then, now = found[base], found[ROOT]
    both = ((what, figure) for what, figure in now[0].items() if what in then[0])
    return [(figure, [r[what].value for r in then], [r[what].value for r in now]) for what, figure in both]


def comparison(title: str, base: str, rows: Sequence[tuple[Figure, list[float], list[float]]]) -> Table:
    """Medians of both, and the quotient of these."""
    table = Table("what", base, "now", "now / then", title=title)
    for figure, then, now in rows:
        old, new = statistics.median(then), statistics.median(now)
        values = (f"{number(v)} {figure.unit}".strip() for v in (old, new))
        table.add_row(figure.what, *values, f"{new / old:.2f}" if old else "")
    return table
