"""Why parts failed or do not go on: of all messages that Argo has of a part, the one that names the cause."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from clio_argo.argo.nodes import BROKEN, ENDED, Node
from clio_argo.argo.pending import USUAL, number
from clio_argo.model.base import counted
from clio_argo.model.reasons import names_cause, reason

# a pod's name within a message would make each pod's message another one
POD = re.compile(r'pods? "[^"]*" is forbidden')
Parts = Sequence[tuple[Node, Sequence[Node]]]


@dataclass(frozen=True)
class Reason:
    """Why a part failed, is tried again, or does not start."""

    node: str
    reason: str

    @property
    def stage(self) -> str:
        """The stage that the part belongs to."""
        return self.node.partition("(")[0]

    @property
    def kind(self) -> str:
        """The beginning of the reason, which many parts share."""
        return f"{self.stage} {re.split(r'[:,]', POD.sub('forbidden', self.reason), maxsplit=1)[0]}"


def failures(parts: Parts) -> Iterator[Reason]:
    """Failed parts, each with the clearest of its messages."""
    for part, tries in parts:
        if part.phase in BROKEN:
            yield Reason(part.display_name, clearest([*_newest(tries), part]))


def pending(parts: Parts, told: Mapping[str, str]) -> Iterator[Reason]:
    """Parts whose pod does not start.

    Args:
        parts: each with its tries.
        told: reasons from the pods themselves, by the number at the end of their names.
    """
    for part, tries in parts:
        last = next(_newest(tries), part)
        # Argo looks at the containers of a step only, not at those that prepare it
        why = told.get(number(last.id)) or ("" if last.message in USUAL else last.message)
        if last.phase == "Pending" and why:
            yield Reason(part.display_name, why)


def retried(parts: Parts) -> Iterator[Reason]:
    """Parts that failed and are tried again, with the last failure and the number of tries."""
    for part, tries in parts:
        failed = [t for t in _newest(tries) if t.phase in BROKEN]
        if failed and part.phase not in ENDED:
            yield Reason(part.display_name, f"{clearest(failed[:1])} (failed {counted(len(failed), 'time')})")


def clearest(nodes: Iterable[Node]) -> str:
    """The first message that names a cause, with the setting that holds the limit; else the first one."""
    messages = [n.message for n in nodes if n.message]
    best = next(filter(names_cause, messages), messages[0] if messages else "no message")
    return reason(best)


def _newest(tries: Iterable[Node]) -> Iterator[Node]:
    return iter(sorted(tries, key=lambda t: t.started_at.timestamp() if t.started_at else 0.0, reverse=True))
