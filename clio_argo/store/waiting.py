"""Asking what may never answer."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

T = TypeVar("T")
Item = TypeVar("Item")


def within(limit_s: float, ask: Callable[[], T]) -> T:
    """The result of `ask`, or what it raises. Raises `TimeoutError` if there is none after `limit_s` seconds."""
    return aside(ask).result(limit_s)


def aside(ask: Callable[[], T]) -> "Future[T]":
    """What `ask` will have returned or raised, asked in a thread of its own."""
    result = Future[T]()
    # a daemon: nothing waits for it when the process ends
    Thread(target=_answer, args=(result, ask), daemon=True).start()
    return result


def each(ask: Callable[[Item], T], items: Iterable[Item], at_once: int) -> Iterator[T]:
    """Results of `ask` for all items, as they come; what one of them raises ends it, and no further one begins.

    at_once: number of threads. They are daemons, so that Ctrl-C waits for none of them.
    """
    waiting, results = deque(items), SimpleQueue[Future[T]]()
    count = len(waiting)
    for _ in range(min(at_once, count)):
        Thread(target=_work, args=(ask, waiting, results), daemon=True).start()
    try:
        for _ in range(count):
            yield results.get().result()
    finally:
        waiting.clear()


def _work(ask: Callable[[Item], T], waiting: "deque[Item]", results: "SimpleQueue[Future[T]]") -> None:
    while True:
        try:
            item = waiting.popleft()
        except IndexError:
            return
        result = Future[T]()
        _answer(result, partial(ask, item))
        if result.exception():
            waiting.clear()
        results.put(result)


def _answer(result: "Future[T]", ask: Callable[[], T]) -> None:
    # whoever waits may have left
    if not result.set_running_or_notify_cancel():
        return
    try:
        result.set_result(ask())
    except BaseException as error:  # noqa: BLE001, whatever it is, whoever waits gets it
        result.set_exception(error)
