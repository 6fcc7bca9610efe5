"""The script of the report, and what a policy has to say so that it runs and no other.

It is uPlot, which draws and zooms, and `walk.js`, which says what. uPlot is the npm package `uplot` 1.6.32, unchanged:
`uPlot.iife.min.js` and `uPlot.min.css` of its `dist/`, and its MIT licence, which each page holds, too.
"""

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files


@cache
def script() -> str:
    """The text of the one script element."""
    return f"/*!\n{_read('uplot/LICENSE')}\n*/\n{_read('uplot/uPlot.iife.min.js')}{_read('walk.js')}"


@cache
def style() -> str:
    """The styles of what the script makes."""
    return _read("uplot/uPlot.min.css") + _read("walk.css")


def source() -> str:
    """The script as a source of a Content-Security-Policy: its digest."""
    return f"'sha256-{b64encode(sha256(script().encode()).digest()).decode()}'"


def _read(name: str) -> str:
    return (files("clio_argo.report") / "scripts" / name).read_text(encoding="utf-8")
