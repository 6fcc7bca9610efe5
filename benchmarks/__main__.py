"""`python -m benchmarks [NAME ...] [--quick] [--base COMMIT]`: measure, show, and keep in results.json and
docs/benchmarks.md; or compare with an earlier commit, and keep nothing.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.against import checked_out, comparison, in_turns
from benchmarks.figures import Figure, Result, merged, read_results, write_results
from benchmarks.machine import description
from benchmarks.measure import ROOT, python
from benchmarks.pages import page, table
from benchmarks.picture import picture
from benchmarks.sources import work_folder

RESULTS, PAGE = ROOT / "benchmarks" / "results.json", ROOT / "docs" / "benchmarks.md"
BEFORE, PICTURE = RESULTS.with_name("before.json"), PAGE.with_name("stages.svg")


@dataclass(frozen=True)
class Benchmark:
    """What is measured, by which function, and how much disk it needs in GiB.

    by_name: whether it is only run by its name. in_memory: whether it works in memory where that is a disk, too.
    """

    title: str
    entry: str
    disk_gib: float = 1
    by_name: bool = False
    in_memory: bool = False


BENCHMARKS = {
    "machine": Benchmark("The machine", "benchmarks.machine:measure"),
    "decode": Benchmark("Slices of 5000 x 5000: decoding PNG", "benchmarks.decoding:measure"),
    "tiff": Benchmark("Slices of 5000 x 5000: decoding TIFF", "benchmarks.tiffs:measure"),
    "render": Benchmark("Slices of 5000 x 5000: render", "benchmarks.slices:render", 4),
    "align": Benchmark("Slices of 5000 x 5000: reduce and match", "benchmarks.slices:align", 2),
    "write": Benchmark("A block", "benchmarks.blocks:measure", 2),
    "igneous": Benchmark("A block, against igneous", "benchmarks.igneous:measure", 6),
    "whole": Benchmark("A whole run: 64 slices of 4096 x 4096", "benchmarks.whole:measure", 5),
    "limits": Benchmark("The least that 10^12 pixels take", "benchmarks.limits:measure"),
    "estimate": Benchmark("Estimates before a run", "benchmarks.estimate:measure", 5),
    "follow": Benchmark("Watching a stack", "benchmarks.follow:measure", 2, in_memory=True),
    "report": Benchmark("The report of 14,000 slices in a browser", "benchmarks.report:measure", by_name=True),
    "memory": Benchmark("Memory: slices of 10,000 x 10,000", "benchmarks.memory:measure", 12),
    "headers": Benchmark("Planning", "benchmarks.scaling:headers"),
    "files": Benchmark("Files of many slices", "benchmarks.files:measure", 3),
    "scaling": Benchmark("Many small slices", "benchmarks.scaling:measure", 4, in_memory=True),
    "drift": Benchmark("Drift of long stacks, simulated", "benchmarks.drift:measure"),
    "short": Benchmark("Short and noisy stacks, simulated", "benchmarks.short:measure"),
    "trust": Benchmark("Verifying", "benchmarks.trust:measure", 6),
    "accuracy": Benchmark("Accuracy", "benchmarks.accuracy:measure", 2),
    "cases": Benchmark("Stacks from the wild", "benchmarks.cases:measure", in_memory=True),
    "fanout": Benchmark("100,000 slices on a cluster", "benchmarks.fanout:measure", by_name=True),
    "pods": Benchmark("Pods of a run on a cluster", "benchmarks.pods:measure"),
    "cluster": Benchmark("A run on a cluster, simulated", "benchmarks.cluster:measure"),
    "processors": Benchmark("The same run on other processors", "benchmarks.processors:measure", 1),
    "soak": Benchmark("Killed at random moments", "benchmarks.soak:measure", 1),
    "faults": Benchmark("Faults at every call", "benchmarks.faults:measure", by_name=True, in_memory=True),
    "chaos": Benchmark("Runs on a cluster under chaos", "benchmarks.chaos:measure", by_name=True),
    "fuzz": Benchmark("Damaged image files", "benchmarks.fuzz:measure", by_name=True, in_memory=True),
}


def main() -> int:
    chosen = _arguments()
    console = Console(highlight=False)
    names = chosen.names or [name for name, b in BENCHMARKS.items() if not b.by_name]
    if chosen.base:
        return _compare(chosen.base, names, chosen.quick, console)
    machine = _measure("machine", chosen.quick)
    facts = {**description(), **{f.what: f.shown for f in machine}}
    results = []
    for name in names:
        figures = machine if name == "machine" else _measure(name, chosen.quick)
        title, today = BENCHMARKS[name].title, date.today().isoformat()
        results.append(Result(name, title, today, tuple(figures), facts))
        console.print(table(results[-1]))
        if not chosen.quick:
            _keep(results[-1])
    return int(any(f.holds is False for r in results for f in r.figures))


def _compare(base: str, names: list[str], quick: bool, console: Console) -> int:
    """Show benchmarks of an earlier commit beside those of this tree, with the machine's own figures first."""
    with checked_out(base) as tree:
        for name in dict.fromkeys(["machine", *names]):
            rows = in_turns(partial(_measure, name, quick), tree)
            console.print(comparison(BENCHMARKS[name].title, base, rows))
    return 0


def _arguments() -> Any:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all that need no cluster"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all of it works; keeps nothing")
    parser.add_argument("--base", metavar="COMMIT", help="take turns with an earlier commit; keeps nothing")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - BENCHMARKS.keys():
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    return chosen


def _measure(name: str, quick: bool, tree: Path = ROOT) -> list[Figure]:
    """Measure in a fresh process, by the code in a folder."""
    benchmark = BENCHMARKS[name]
    with work_folder(benchmark.disk_gib, benchmark.in_memory) as folder:
        work, result = folder / "work", folder / "result.json"
        work.mkdir()
        python("-m", "benchmarks.child", benchmark.entry, work, result, *(["--quick"] if quick else []), tree=tree)
        return [Figure(**f) for f in json.loads(result.read_text(encoding="utf-8"))]


def _keep(result: Result) -> None:
    """Put one result in the place of an older one."""
    results = merged(read_results(RESULTS), [result], list(BENCHMARKS))
    write_results(RESULTS, results)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(results), encoding="utf-8")
    PICTURE.write_text(picture(read_results(BEFORE)["estimate"], results["estimate"]), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
