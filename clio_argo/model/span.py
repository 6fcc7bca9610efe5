"""Spans of time as people write them: 20s, 10m, 2h, 7d."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def seconds(span: str) -> float:
    """The seconds of a span."""
    return float(span[:-1]) * UNITS_S[span[-1]]


def _some(span: str) -> str:
    if not seconds(span):
        raise ValueError("must be longer than nothing")
    return span


Span = Annotated[
    str, StringConstraints(pattern=rf"^\d{{1,6}}(\.\d{{1,3}})?[{''.join(UNITS_S)}]$"), AfterValidator(_some)
]
"""A number with s, m, h, d or w."""
