"""Results for people: a table on the terminal, a page in docs/."""

from collections.abc import Mapping

from rich.table import Table

from benchmarks.figures import Figure, Result

INTRODUCTION = """# Benchmarks

Written by `make bench` (`python -m benchmarks [NAME ...]`) from `benchmarks/results.json`; one benchmark can be
measured again by its name. Times are CPU seconds, user and system, of one core, children included, unless they say
otherwise: medians of at least three measurements after a warm-up, each benchmark in a process of its own that is set
up as workers are. Slices are mosaics of 60 real FIB-SEM slices of fly medulla, moved by known steps.
Figures of other machines are best compared as ratios: the speed of copying memory and of decoding PNG was measured
in the same go. `make bench NAMES="whole align" BASE=COMMIT` takes turns with an earlier commit and shows both and their
quotients.
"""
# what the figures of a benchmark rest on, where a line of each does not tell it
ABOUT = {
    "estimate": """![stages of four stacks](stages.svg)

Each bar is the CPU time of all stages, as a multiple of decoding so many bytes of the calibration's PNG on the same
machine: before (on 2026-11-29) and now.
""",
    "pods": """By the estimate that `clio-argo plan` makes, for slices that all match, with 100 pods at a time and the
defaults of `part_minutes` and `max_parts`. `all` is one pod for all stages behind `plan`. The pods of `plan`, of the
notification, and of stages without parts (frame, suspects, solve, verify, publish) count, and are not listed.
""",
    "cluster": """Nothing here was run on Google Cloud. A simulator (`benchmarks/cluster.py`) reads the emitted
WorkflowTemplate: its tasks, their order, limits, retries, and what pods ask for. The steps' own functions tell parts
and memory of the stack. Times of units are those of `clio-argo estimate`. A controller looks at the workflow some
seconds after a pod changed, makes pods one by one, and never more than `parallelism`. A scheduler fills the fullest
node that has room; an autoscaler asks for nodes up to the quota. Pods of a node share its cores; a pod that waits for
the store computes nothing. Spot nodes are reclaimed at random, by a seed; units that were done before stay done. Four
fifths of the units are matched again, as with 5 % of defects. Not simulated: limits of request rates of the store,
nodes that are not to be had, files that differ. A TB is one of grey values; $ are of spot nodes from their request to
their end, idle ones after the run included, without small nodes, the cluster's fee, and the store.

`python -m benchmarks cluster`, where KUBECONFIG and CLIO_GCS_ENDPOINT name a cluster with the images in its node
([testing](testing.md#on-a-cluster)), runs 64 slices there three times, and keeps that time; without one the time that
was kept is compared. DEFAULT_REQUEUE_TIME has to be what the controller was started with.
""",
    "chaos": """`CLIO_CHAOS_MINUTES=5 python -m benchmarks chaos` on a cluster
([testing](testing.md#on-a-cluster)): 24 slices of 192 px in stages of two parts, run again and again, each time with
the faults of another seed. 503: refused. reset: the connection breaks before the request is done. lost: it breaks
after that. With `CLIO_CHAOS_SEED` the seeds begin there.
""",
}


def table(result: Result) -> Table:
    shown = Table(title=f"{result.title} ({result.name})", title_justify="left")
    for column in ("what", "measured", "limit", "", "how"):
        shown.add_column(column, justify="right" if column == "measured" else "left")
    for figure in result.figures:
        shown.add_row(*(cell.replace("**", "") for cell in _cells(figure)))
    return shown


def page(results: Mapping[str, Result]) -> str:
    """docs/benchmarks.md."""
    return "\n".join([INTRODUCTION, *(_section(r) for r in results.values()), _machines(results)])


def _section(result: Result) -> str:
    lines = [
        f"## {result.title}",
        "",
        f"`{result.name}`",
        "",
        *([ABOUT[result.name]] if result.name in ABOUT else []),
        *_rows(["what", "measured", "limit", "", "how"], [_cells(f) for f in result.figures]),
        "",
    ]
    return "\n".join(lines)


def _cells(figure: Figure) -> list[str]:
    return [figure.what, figure.shown, figure.shown_limit, figure.verdict, figure.note]


def _rows(heads: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *rows]]


def _machines(results: Mapping[str, Result]) -> str:
    """Where and when each benchmark was measured."""
    facts = list(dict.fromkeys(key for r in results.values() for key in r.machine))
    rows = [[r.name, r.date, *(str(r.machine.get(key, "")) for key in facts)] for r in results.values()]
    heads = ["benchmark", "date", *facts]
    return "\n".join(["## Where this was measured", "", *_rows(heads, rows), ""])
