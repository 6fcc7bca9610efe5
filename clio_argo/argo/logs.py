"""What the steps of a workflow write, while it runs."""

import re
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Protocol

from clio_argo.argo.nodes import Json, has_ended
from clio_argo.errors import ClioError

# Argo's executor writes its own lines into the log of the step's container
EXECUTOR = re.compile(r"^time=.* argo=true")
# pods and the phase are read this often: a delay that nobody notices in a log
EVERY_S = 2.0


@dataclass(frozen=True)
class LogLine:
    """One line that a step's container wrote."""

    pod: str
    text: str


class Pods(Protocol):
    """A source of workflows, their pods and the pods' logs."""

    def get(self, name: str) -> Json:
        """The workflow with this name."""

    def pods(self, workflow: str) -> list[str]:
        """Pods of a workflow whose step has started, oldest first."""

    def log(self, pod: str, follow: bool) -> Iterator[str]:
        """Lines that the step's container wrote; `follow` waits for more until it ends."""


def step_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines of a byte stream, without those of Argo's executor."""
    rest = b""
    for chunk in chunks:
        # a chunk may end within a line, even within a character
        *lines, rest = (rest + chunk).split(b"\n")
        yield from _decoded(lines)
    yield from _decoded([rest] if rest else [])


def _decoded(lines: Iterable[bytes]) -> Iterator[str]:
    texts = (line.decode(errors="replace").rstrip("\r") for line in lines)
    return (text for text in texts if not EXECUTOR.match(text))


def follow_pods(source: Pods, workflow: str) -> Iterator[LogLine]:
    """Lines of all pods as they are written, until the workflow has ended. One thread reads each pod."""
    lines: Queue[LogLine] = Queue()
    readers: dict[str, threading.Thread] = {}
    while True:
        # asked before the pods are listed, so that the last pods of an ended workflow are read too
        ended = has_ended(source.get(workflow))
        for pod in source.pods(workflow):
            if pod not in readers:
                readers[pod] = _start_reader(source, pod, lines)
        yield from _drain(lines, time.monotonic() + EVERY_S)
        if ended and not any(reader.is_alive() for reader in readers.values()):
            yield from _drain(lines, time.monotonic())
            return


def _start_reader(source: Pods, pod: str, lines: "Queue[LogLine]") -> threading.Thread:
    def read() -> None:
        try:
            for text in source.log(pod, follow=True):
                lines.put(LogLine(pod, text))
        except ClioError as error:
            # a lost connection to one pod must not end the logs of the others
            lines.put(LogLine(pod, f"(its log ends here: {error})"))

    # daemon: a reader that waits for a silent pod must not keep the process alive after Ctrl-C
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def _drain(lines: "Queue[LogLine]", until: float) -> Iterator[LogLine]:
    while True:
        try:
            yield lines.get(timeout=max(0.0, until - time.monotonic()))
        except Empty:
            return
