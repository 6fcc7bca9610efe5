"""Spans of time as people write them: 20s, 10m, 2h, 7d."""

from typing import Annotated

from pydantic import StringConstraints

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
Span = Annotated[str, StringConstraints(pattern=rf"^\d{{1,6}}(\.\d{{1,3}})?[{''.join(UNITS_S)}]$")]
"""A number with s, m, h, d or w."""


def seconds(span: str) -> float:
    """The seconds of a span."""
    return float(span[:-1]) * UNITS_S[span[-1]]
