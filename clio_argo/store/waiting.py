"""Asking what may never answer."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def within(limit_s: float, ask: Callable[[], T]) -> T:
    """The result of `ask`, or what it raises. Raises `TimeoutError` if there is none after `limit_s` seconds."""
    return aside(ask).result(limit_s)


def aside(ask: Callable[[], T]) -> "Future[T]":
    """What `ask` will have returned or raised, asked in a thread of its own."""
    result = Future[T]()
    # a daemon: nothing waits for it when the process ends
    Thread(target=_answer, args=(result, ask), daemon=True).start()
    return result


def _answer(result: "Future[T]", ask: Callable[[], T]) -> None:
    # whoever waits may have left
    if not result.set_running_or_notify_cancel():
        return
    try:
        result.set_result(ask())
    except BaseException as error:  # noqa: BLE001, whatever it is, whoever waits gets it
        result.set_exception(error)
