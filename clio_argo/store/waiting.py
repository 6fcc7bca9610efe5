"""Asking what may never answer."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def within(limit_s: float, ask: Callable[[], T]) -> T:
    """The result of `ask`, or what it raises. Raises `TimeoutError` if there is none after `limit_s` seconds."""
    result = Future[T]()
    # a daemon: nothing waits for it when the process ends
    Thread(target=_answer, args=(result, ask), daemon=True).start()
    return result.result(limit_s)


def _answer(result: "Future[T]", ask: Callable[[], T]) -> None:
    try:
        result.set_result(ask())
    except BaseException as error:  # noqa: BLE001, whatever it is, whoever waits gets it
        result.set_exception(error)
