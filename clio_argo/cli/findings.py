"""One check of one thing: its result within a limited time, and what to do if it is wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from clio_argo.errors import ClioError
from clio_argo.store.waiting import within

# a store that does not answer within half a minute needs a person
LIMIT_S = 30.0


class Inconclusive(ClioError):
    """It cannot be decided from here, or matters only to some."""


@dataclass(frozen=True)
class Finding:
    """The result of a check."""

    name: str
    found: str
    verdict: Literal["ok", "?", "WRONG"] = "ok"
    remedy: str = ""

    def line(self) -> str:
        """One line, and a second one with the remedy if something is wrong."""
        first = f"{self.verdict:<5} {self.name}: {self.found}"
        return f"{first}\n      do: {self.remedy}" if self.verdict == "WRONG" and self.remedy else first


def look(name: str, at: Callable[[], str], remedy: str = "", limit_s: float = LIMIT_S) -> Finding:
    """The result of a check within its time. Errors of this program name their remedy themselves."""
    try:
        return within(limit_s, lambda: _result(name, at, remedy))
    except TimeoutError:
        return Finding(name, f"no answer within {limit_s:.0f} s", "WRONG", remedy)


def _result(name: str, at: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(name, at())
    except Inconclusive as error:
        return Finding(name, str(error), "?")
    except ClioError as error:
        return Finding(name, str(error), "WRONG", remedy)
    except Exception as error:  # noqa: BLE001, whatever a library raises, the other checks follow
        return Finding(name, f"{type(error).__name__}: {error}", "WRONG", remedy)
