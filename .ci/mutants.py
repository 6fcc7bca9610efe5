"""Samples small changes to the source and reports which of them no test notices.

    python .ci/mutants.py [--count 40] [--seed 1] [--workers 2] [PATH ...]

PATH is a module or package under clio_argo; default: all of TESTS. Each mutant is tried in a copy of the repository.

Why not mutmut or cosmic-ray: both visit every mutant (thousands here, of half a minute each) and have no seeded sample,
and mutmut's mutants live in one process only, while these tests start workers and command lines of their own.
"""

import argparse
import ast
import copy
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "clio_argo"
# which tests concern a module; more than these would only cost time
TESTS = {
    "placement": "tests/placement tests/kernels/test_flicker.py tests/steps tests/workspace/test_user_inputs.py",
    "kernels/solve.py": "tests/kernels/test_solve.py tests/kernels/test_positions.py tests/placement/test_gates.py",
    "model/volume.py": "tests/model/test_grid.py tests/store/test_volumes.py tests/maintenance/test_damage.py",
    "workspace": (
        "tests/workspace tests/steps tests/maintenance tests/faults/test_killed.py tests/model/test_new_setting.py"
    ),
}
CHOSEN = "not e2e and not browser"
# a mutant that loops for ever is noticed after so many times what the tests take as they are
PATIENCE = 5
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.Mod: ast.Mult,
}  # fmt: skip
NAMES = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "sorted": "list",
    "minimum": "maximum",
    "maximum": "minimum",
}
# a border that no value ever meets makes no difference
BORDERS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


@dataclass(frozen=True)
class Mutant:
    """One change: the text of a node, and what stands there instead."""

    path: Path
    line: int
    begin: int
    end: int
    text: str
    border: bool

    def apply(self, source: bytes) -> bytes:
        return source[: self.begin] + self.text.encode() + source[self.end :]

    def __str__(self) -> str:
        before = " ".join((ROOT / self.path).read_bytes()[self.begin : self.end].decode().split())
        return f"{self.path}:{self.line}  {before[:60]}  ->  {self.text[:60]}"


def mutants_of(path: Path) -> list[Mutant]:
    """All mutants of a file, in order."""
    source = (ROOT / path).read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node in _nodes(ast.parse(source)):
        for other in _changes(node):
            begin, end = (starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset)
            text = ast.unparse(other) if isinstance(other, ast.stmt) else f"({ast.unparse(other)})"
            border = isinstance(node, ast.Compare) and isinstance(node.ops[0], BORDERS)
            found.append(Mutant(path, node.lineno, begin, end, text, border))
    return found


def _nodes(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """Expressions and statements that run: no annotations, decorators, or parts of f-strings, which have no place."""
    if isinstance(node, ast.expr | ast.stmt):
        yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list") or isinstance(value, ast.JoinedStr):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):
                yield from _nodes(child)


def _changes(node: ast.expr | ast.stmt) -> Iterator[ast.expr | ast.stmt]:
    """What may stand in the place of a node."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in SWAPS:
            yield _with(node, ops=[SWAPS[type(op)]()])
        case ast.BoolOp(op=op) | ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in SWAPS:
            yield _with(node, op=SWAPS[type(op)]())
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1 if isinstance(value, int) else value * 2)
        case ast.Call(func=ast.Name(id=name)) if name in NAMES:
            yield _with(node, func=ast.Name(NAMES[name]))
        case ast.IfExp(test=test):
            yield _with(node, test=ast.UnaryOp(ast.Not(), test))
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.Delete():
            yield ast.Pass()


def _with(node: ast.AST, **fields: object) -> ast.expr | ast.stmt:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed  # type: ignore[return-value]


def fails(folder: Path, tests: str, limit_s: float | None) -> bool:
    """Whether tests fail, or take too long, in a copy of the repository."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", CHOSEN, *tests.split()]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=limit_s
        )
    except subprocess.TimeoutExpired:
        return True
    if done.returncode not in (0, 1, 2):
        raise SystemExit(f"{tests}: pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode != 0


def sample(names: list[str], count: int, seed: int) -> list[tuple[str, Mutant]]:
    """As many mutants of each module, with the name that says which tests concern it."""
    chosen = []
    for name in names:
        place = ROOT / PACKAGE / name
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        if not files or not all(f.is_file() for f in files):
            raise SystemExit(f"{PACKAGE}/{name}: there is no such module; TESTS in {__file__} names them")
        every = [m for f in files for m in mutants_of(f.relative_to(ROOT))]
        share = min(len(every), -(-count // len(names)))
        chosen += [(name, m) for m in random.Random(f"{seed} {name}").sample(every, share)]
        print(f"{name}: {share} of {len(every)} mutants", flush=True)
    return chosen[:count]


def try_all(chosen: list[tuple[str, Mutant]], workers: int) -> list[tuple[Mutant, bool]]:
    """Whether the tests notice each mutant; one copy of the repository for each worker."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as top, ThreadPoolExecutor(workers) as threads:
        copies: queue.Queue[Path] = queue.Queue()
        for i in range(workers):
            ignored = shutil.ignore_patterns(".venv", ".git", "build", "__pycache__", ".*_cache", ".hypothesis")
            copies.put(shutil.copytree(ROOT, Path(top) / str(i), ignore=ignored))
        limits_s = dict(threads.map(lambda n: (n, _limit_s(copies, n)), dict.fromkeys(n for n, _ in chosen)))
        return list(threads.map(lambda c: _try(copies, c[1], TESTS[c[0]], limits_s[c[0]]), chosen))


def _limit_s(copies: "queue.Queue[Path]", name: str) -> float:
    folder, began = copies.get(), time.monotonic()
    try:
        if fails(folder, TESTS[name], None):
            raise SystemExit(f"{TESTS[name]}: fail without any mutant")
    finally:
        copies.put(folder)
    return PATIENCE * (time.monotonic() - began)


def _try(copies: "queue.Queue[Path]", mutant: Mutant, tests: str, limit_s: float) -> tuple[Mutant, bool]:
    folder = copies.get()
    try:
        source = (ROOT / mutant.path).read_bytes()
        (folder / mutant.path).write_bytes(mutant.apply(source))
        noticed = fails(folder, tests, limit_s)
        (folder / mutant.path).write_bytes(source)
    finally:
        copies.put(folder)
    print(f"{'killed  ' if noticed else 'SURVIVED'} {mutant}", flush=True)
    return mutant, noticed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40, help="mutants in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("paths", nargs="*", metavar="PATH", help=f"of {', '.join(TESTS)}")
    asked = parser.parse_args()
    if unknown := set(asked.paths) - TESTS.keys():
        parser.error(f"no tests are known for {', '.join(sorted(unknown))}; TESTS in {__file__} says which there are")
    results = try_all(sample(asked.paths or list(TESTS), asked.count, asked.seed), asked.workers)
    survived = [m for m, noticed in results if not noticed]
    candidates = sum(m.border for m in survived)
    print(f"\n{len(results)} mutants: {len(results) - len(survived)} killed, {len(survived)} survived "
          f"({1 - len(survived) / max(1, len(results)):.0%} killed); {candidates} of those that survived move a border "
          "by one value and may be equivalent")  # fmt: skip
    for mutant in survived:
        print(f"  {'equivalent? ' if mutant.border else ''}{mutant}")


if __name__ == "__main__":
    main()
