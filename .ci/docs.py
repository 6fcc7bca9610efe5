#!/usr/bin/env python3
"""Checks what readers of the package rely on and no linter knows; prints figures, and fails on what breaks a rule.

.ci/docs.py                  all checks
.ci/docs.py arrays constants these alone
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from statistics import median, quantiles

PACKAGE = Path(__file__).parent.parent / "clio_argo"
Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = Function | ast.ClassDef | ast.Module

UNDOCUMENTED = 0.03  # of public names: what is obvious from its name and types
COMMENTS = (0.04, 0.08)  # of lines of code and comments; good code of the field has 5 to 11 %
MEDIAN, P90, LONGEST, LONGEST_FILE = 7, 17, 60, 400  # lines of code of functions; lines of a file

SHAPE = re.compile(r"\[[\w ,.:*/+()-]*\w[\w ,.:*/+()-]*\]|\b(shapes?|scalars?)\b")
LAYOUT = re.compile(
    r"/?(ng|aligned|tmp|manifest|process|thumbnails|views)/\S*"
    r"|(config|plan|transforms|volume|complete|verify|quality|given|inspection)\.json|report\.html|transforms\.csv"
)
PROSE = {"help", "description", "epilog"}  # keywords whose strings people read


@dataclass(frozen=True)
class Source:
    """One module."""

    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def comments(self) -> set[int]:
        """Lines that hold a comment."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return {t.start[0] for t in tokens if t.type == tokenize.COMMENT}

    @cached_property
    def code(self) -> set[int]:
        """Lines that hold code: neither blank, nor docstring, nor comment alone."""
        documented = {n for d in self.documented for n in docstring_lines(d)}
        lines = enumerate(self.text.splitlines(), 1)
        return {n for n, line in lines if line.strip() and line.lstrip()[0] != "#"} - documented

    @property
    def package(self) -> str:
        parts = self.path.relative_to(PACKAGE).parts
        return parts[0] if len(parts) > 1 else "top"

    @cached_property
    def documented(self) -> list[Documented]:
        return [n for n in ast.walk(self.tree) if isinstance(n, Documented)]

    @property
    def functions(self) -> list[Function]:
        return [n for n in self.documented if isinstance(n, Function)]

    def at(self, node: ast.AST) -> str:
        return f"{self.path.relative_to(PACKAGE.parent)}:{getattr(node, 'lineno', 1)}"


def docstring_lines(node: Documented) -> range:
    """The lines of a docstring, none without one."""
    first = node.body[0] if ast.get_docstring(node) else None
    return range(first.lineno, (first.end_lineno or first.lineno) + 1) if first else range(0)


def names_in(node: ast.AST | None) -> set[str]:
    """All names and attributes in an expression, also in annotations that are strings."""
    if node is None:
        return set()
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    names |= {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
    text = " ".join(n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str))
    return names | set(re.findall(r"\w+", text))


def array_types(sources: list[Source]) -> set[str]:
    """Names of array types: NumPy's, and those that modules define by them."""
    types, before = {"NDArray", "ndarray", "Image", "Floats", "Mask", "Voxels", "Pixels"}, 0
    while len(types) > before:
        before = len(types)
        assigned = [n for s in sources for n in s.tree.body if isinstance(n, ast.Assign)]
        types |= {
            t.id
            for a in assigned
            if isinstance(a.value, ast.Subscript | ast.BinOp) and names_in(a.value) & types
            for t in a.targets
            if isinstance(t, ast.Name) and not names_in(a.value) & {"tuple", "Callable", "Mapping", "dict"}
        }
    return types


def arrays(sources: list[Source]) -> Iterator[str]:
    """Functions that take or return arrays and do not say their shape."""
    types = array_types(list(everything()))
    for source in sources:
        for function in source.functions:
            a = function.args
            annotations = [p.annotation for p in (*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg) if p]
            if not set.union(names_in(function.returns), *map(names_in, annotations)) & types:
                continue
            if not SHAPE.search(ast.get_docstring(function) or ""):
                yield f"{source.at(function)}: {function.name} takes or returns arrays; name their axes, as in [y, x]"


def constants(sources: list[Source]) -> Iterator[str]:
    """Numeric constants of modules without a comment beside or above."""
    for source in sources:
        for node, after in zip_longest(source.tree.body, source.tree.body[1:]):
            target = getattr(node, "targets", [getattr(node, "target", None)])[0]
            value = getattr(node, "value", None)
            if not isinstance(node, ast.Assign | ast.AnnAssign) or value is None or not is_numeric(value):
                continue
            told = source.comments & set(range(node.lineno - 1, (node.end_lineno or 0) + 1))
            documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if not told and not documented:
                yield f"{source.at(node)}: {ast.unparse(target)} needs a comment that gives the reason for its value"


def is_numeric(value: ast.expr) -> bool:
    """Whether an expression consists of numbers, operators and tuples (NumPy's types included)."""
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).startswith("np.") and all(map(is_numeric, value.args))
    if isinstance(value, ast.Constant):
        return isinstance(value.value, int | float) and not isinstance(value.value, bool)
    if isinstance(value, ast.Tuple | ast.List | ast.BinOp | ast.UnaryOp):
        inner = [n for n in ast.iter_child_nodes(value) if isinstance(n, ast.expr)]
        return bool(inner) and all(map(is_numeric, inner))
    return False


def docstrings(sources: list[Source]) -> Iterator[str]:
    """Public names without a docstring, if they are more than 3 %."""
    names = [(s, n) for s in sources for n in public(s.tree)]
    missing = [(s, n) for s, n in names if not ast.get_docstring(n)]
    share = len(missing) / max(len(names), 1)
    print(f"docstrings: {share:.1%} of {len(names)} public names have none (at most {UNDOCUMENTED:.0%})")
    if share > UNDOCUMENTED:
        yield from (f"{s.at(n)}: {getattr(n, 'name', 'the module')} has no docstring" for s, n in missing)


def public(tree: ast.Module) -> Iterator[Documented]:
    """The module, and its public functions, classes and methods."""
    yield tree
    pending = list(tree.body)
    for node in pending:
        if isinstance(node, Documented) and not getattr(node, "name", "_").startswith("_"):
            yield node
            pending += node.body if isinstance(node, ast.ClassDef) else []


def comments(sources: list[Source]) -> Iterator[str]:
    """Packages with fewer or more comments than useful: printed, never an error."""
    for package in ["all", *sorted({s.package for s in sources})]:
        chosen = [s for s in sources if package in ("all", s.package)]
        told = sum(len(s.comments) for s in chosen)
        share = told / max(sum(len(s.code | s.comments) for s in chosen), 1)
        warning = "" if COMMENTS[0] <= share <= COMMENTS[1] else f"  (should be {COMMENTS[0]:.0%} to {COMMENTS[1]:.0%})"
        print(f"comments: {share:.1%} of lines in {package}{warning}")
    yield from ()


def lengths(sources: list[Source]) -> Iterator[str]:
    """Functions and files that are too long."""
    sizes = {(s, f): code_lines(s, f) for s in sources for f in s.functions}
    middle, p90 = median(sizes.values()), quantiles(sizes.values(), n=10)[-1]
    files = {s: len(s.text.splitlines()) for s in sources}
    print(f"lengths: functions median {middle:g}, 90 % up to {p90:g}, longest {max(sizes.values())} lines of code; "
          f"longest file {max(files.values())} lines")  # fmt: skip
    if middle > MEDIAN or p90 > P90:
        yield f"functions are too long: median {middle:g} (at most {MEDIAN}), 90 % up to {p90:g} (at most {P90})"
    for (source, function), n in sizes.items():
        if n > LONGEST:
            yield f"{source.at(function)}: {function.name} has {n} lines of code (at most {LONGEST})"
    yield from (f"{s.path.name}: {n} lines (at most {LONGEST_FILE})" for s, n in files.items() if n > LONGEST_FILE)


def code_lines(source: Source, function: Function) -> int:
    """Lines of code of a function, its signature included."""
    return len(source.code & set(range(function.lineno, (function.end_lineno or 0) + 1)))


def layout(sources: list[Source]) -> Iterator[str]:
    """Names of objects as text anywhere but in `model/layout.py`."""
    for source in sources:
        if source.path == PACKAGE / "model" / "layout.py":
            continue
        for node in texts(source.tree):
            # an absolute path is a pod's
            if LAYOUT.fullmatch(str(node.value)) and not str(node.value).startswith("/"):
                yield f"{source.at(node)}: {node.value!r} is a name of clio_argo/model/layout.py"


def texts(node: ast.AST) -> Iterator[ast.Constant]:
    """Strings of code: no docstrings, and nothing that people read (help, descriptions)."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.keyword) and child.arg in PROSE:
            continue
        if isinstance(child, ast.Constant) and isinstance(child.value, str) and not isinstance(node, ast.Expr):
            yield child
        yield from texts(child)


def everything() -> Iterator[Source]:
    """All modules of the package."""
    return map(Source, sorted(PACKAGE.rglob("*.py")))


Check = Callable[[list[Source]], Iterator[str]]
CHECKS: dict[str, Check] = {c.__name__: c for c in (arrays, constants, docstrings, comments, lengths, layout)}


def main(arguments: list[str]) -> int:
    sources = list(everything())
    problems = [problem for check in arguments or CHECKS for problem in CHECKS[check](sources)]
    print(*problems, sep="\n", end="\n" if problems else "")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
