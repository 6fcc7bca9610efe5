"""Numbers of files by a person's regular expression, within limits of time."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence

from clio_argo.errors import UserError
from clio_argo.model.name_order import numbers_by_name
from clio_argo.model.numbering import Number, Numbering, as_number, numbering
from clio_argo.model.request import Request

# a hundred thousand names take half a second
LIMIT_S = 20
# four times the longest name of a file
LONGEST_EXPRESSION = 1000
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
# Python's engine may take longer than the universe for a name of 40 letters, and only another process can be ended
_MATCH = """
import json, re, sys
expression, group, names = json.load(sys.stdin)
found = map(re.compile(expression).fullmatch, names)
json.dump([match and match[group] for match in found], sys.stdout)
"""


def numbers_of(request: Request, names: Sequence[str]) -> Numbering:
    """As `numbering`; also by the request's regular expression, which chooses the files where their names order them.

    Raises `UserError`, as those do.
    """
    expression = request.image_regex
    if request.order == "name":
        chosen = [n for n, text in _matched(expression, 0, names).items() if text] if expression else names
        return numbers_by_name(chosen, request.minz or 0, mixed=bool(expression)).get
    return regex_numbers(expression, names).get if expression else numbering(request, names)


def regex_numbers(expression: str, names: Sequence[str]) -> dict[str, Number]:
    """Numbers of those `names` that `expression` matches as a whole, by its group z or its first one.

    Such a group may hold a sign and decimals; a name of which it holds something else is none.

    Raises:
        UserError: it is no regular expression, has no group, or takes too long.
    """
    digits = _matched(expression, "z", names).items()
    return {name: as_number(d) for name, d in digits if d and len(d) < LONGEST_EXPRESSION and NUMBER.fullmatch(d)}


def _matched(expression: str, group: str | int, names: Sequence[str]) -> dict[str, str | None]:
    """What a group of an expression holds of each name; None of those that do not match as a whole.

    group: its number, or a name, for which the first group stands in.
    """
    shown = f"image_regex {expression[:LONGEST_EXPRESSION]!r}"
    if len(expression) > LONGEST_EXPRESSION:
        raise UserError(f"{shown}: longer than {LONGEST_EXPRESSION} characters")
    try:
        whole = re.compile(expression)
    # nested too deeply, or repeated too often
    except (re.error, RecursionError, OverflowError) as error:
        raise UserError(f"{shown}: {error}") from error
    if isinstance(group, str):
        group = group if group in whole.groupindex else 1
    if group and not whole.groups:
        raise UserError(f"{shown}: needs a group for the number, for example (?P<z>[0-9]+)")
    task = json.dumps([expression, group, list(names)])
    call = [sys.executable, "-I", "-S", "-W", "ignore", "-c", _MATCH]
    try:
        done = subprocess.run(call, input=task, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    except subprocess.TimeoutExpired as error:
        text = f"takes longer than {LIMIT_S} s for {len(names)} names; repetitions within repetitions, as in (a+)+, do"
        raise UserError(f"{shown}: {text}") from error
    return dict(zip(names, json.loads(done.stdout), strict=True))
