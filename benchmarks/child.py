"""Runs one benchmark in a process of its own, which `python -m benchmarks` starts as workers are started."""

import argparse
import importlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from benchmarks.figures import Figure
from clio_argo.kernels import limit_threads


def main() -> None:
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("entry", help="MODULE:FUNCTION")
    parser.add_argument("work", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    module, _, function = chosen.entry.partition(":")
    measure: Callable[[Path, bool], list[Figure]] = getattr(importlib.import_module(module), function)
    limit_threads()
    figures = measure(chosen.work, chosen.quick)
    chosen.result.write_text(json.dumps([asdict(f) for f in figures]), encoding="utf-8")


if __name__ == "__main__":
    main()
