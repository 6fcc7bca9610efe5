"""What the steps of a workflow write, while it runs."""

import re
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Protocol

from clio_argo.argo.nodes import ENDED, Json
from clio_argo.errors import ClioError

# Argo's executor writes into the step's log
EXECUTOR = re.compile(r"^time=.* argo=true")
EVERY_S = 2.0


@dataclass(frozen=True)
class LogLine:
    """One line that a step's container wrote."""

    pod: str
    text: str


class Pods(Protocol):
    """Where pods and their logs come from."""

    def get(self, name: str) -> Json: ...

    def pods(self, workflow: str) -> list[str]: ...

    def log(self, pod: str, follow: bool) -> Iterator[str]: ...


def own_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines of a stream of bytes, without those of Argo's executor."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from _told(lines)
    yield from _told([rest] if rest else [])


def _told(lines: Iterable[bytes]) -> Iterator[str]:
    texts = (line.decode(errors="replace").rstrip("\r") for line in lines)
    return (text for text in texts if not EXECUTOR.match(text))


def follow_pods(source: Pods, workflow: str) -> Iterator[LogLine]:
    """Lines of all pods as they are written, until the workflow has ended. One thread reads each pod."""
    lines: Queue[LogLine] = Queue()
    readers: dict[str, threading.Thread] = {}
    while True:
        ended = source.get(workflow).get("status", {}).get("phase") in ENDED
        for pod in source.pods(workflow):
            if pod not in readers:
                readers[pod] = _read(source, pod, lines)
        yield from _drain(lines, time.monotonic() + EVERY_S)
        if ended and not any(reader.is_alive() for reader in readers.values()):
            yield from _drain(lines, time.monotonic())
            return


def _read(source: Pods, pod: str, lines: "Queue[LogLine]") -> threading.Thread:
    def read() -> None:
        try:
            for text in source.log(pod, follow=True):
                lines.put(LogLine(pod, text))
        except ClioError as error:
            lines.put(LogLine(pod, f"(its log ends here: {error})"))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def _drain(lines: "Queue[LogLine]", until: float) -> Iterator[LogLine]:
    while True:
        try:
            yield lines.get(timeout=max(0.0, until - time.monotonic()))
        except Empty:
            return
