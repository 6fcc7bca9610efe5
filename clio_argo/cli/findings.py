"""One look at one thing: what was found, within a limited time, and what to do if it is wrong."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Literal

from clio_argo.errors import ClioError

LIMIT_S = 30.0


class Untold(ClioError):
    """It cannot be told from here, or matters only to some."""


@dataclass(frozen=True)
class Finding:
    """One line of the table."""

    name: str
    found: str
    verdict: Literal["ok", "?", "WRONG"] = "ok"
    remedy: str = ""

    def line(self) -> str:
        """One line of the table, and a second one with the remedy."""
        found = f"{self.verdict:<5} {self.name}: {self.found}"
        return f"{found}\n      do: {self.remedy}" if self.verdict == "WRONG" and self.remedy else found


def look(name: str, at: Callable[[], str], remedy: str = "", limit_s: float = LIMIT_S) -> Finding:
    """What one look finds within its time. Errors of this program name their remedy themselves."""
    told: Queue[Finding] = Queue()
    threading.Thread(target=lambda: told.put(_seen(name, at, remedy)), daemon=True).start()
    try:
        return told.get(timeout=limit_s)
    except Empty:
        return Finding(name, f"no answer within {limit_s:.0f} s", "WRONG", remedy)


def _seen(name: str, at: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(name, at())
    except Untold as error:
        return Finding(name, str(error), "?")
    except ClioError as error:
        return Finding(name, str(error), "WRONG", remedy)
    except Exception as error:  # noqa: BLE001, whatever a library raises, the rest is looked at
        return Finding(name, f"{type(error).__name__}: {error}", "WRONG", remedy)
