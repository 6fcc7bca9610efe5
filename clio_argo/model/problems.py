"""Text for the problems of a source."""

from collections.abc import Sequence

from clio_argo.errors import printable
from clio_argo.model.plan import Problem

# fills a few screens
LONGEST_LIST = 100


def problem_lines(problems: Sequence[Problem], elsewhere: str = "") -> list[str]:
    """A line for each of the first problems, as by `first_lines`."""
    return first_lines([_line(z, p) for z, p in group_problems(problems)], elsewhere)


def first_lines(lines: Sequence[str], elsewhere: str = "", most: int = LONGEST_LIST) -> list[str]:
    """The first lines, and one that counts the others and ends with `elsewhere`: where these are."""
    more = len(lines) - most
    return list(lines) if more <= 0 else [*lines[:most], f"and {more} more{elsewhere}"]


def group_problems(problems: Sequence[Problem]) -> list[tuple[str, Problem]]:
    """Problems, each with the z or range of z that it concerns; slices missing in a row are one problem."""
    rows: list[tuple[int | None, int | None, Problem]] = []
    for p in problems:
        alike = rows and p.kind == "missing" and (p.kind, p.detail) == (rows[-1][2].kind, rows[-1][2].detail)
        if alike and rows[-1][1] == (p.z or 0) - 1:
            rows[-1] = (rows[-1][0], p.z, rows[-1][2])
        else:
            rows.append((p.z, p.z, p))
    return [("" if a is None else str(a) if a == b else f"{a} to {b}", p) for a, b, p in rows]


def _line(z: str, problem: Problem) -> str:
    where = " ".join(v for v in (f"z {z}" if z else "", problem.file or "") if v)
    return printable(f"{where}: {problem.kind}" + (f" ({problem.detail})" if problem.detail else ""))
