"""Functions as machine code, by numba: for what goes pixel by pixel and no library does as fast.

Whoever imports this module loads a compiler, which takes a second; the first process on a machine compiles for ten.
"""

from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import InTreeCacheLocator
from numba.core.codegen import get_host_cpu_features

F = TypeVar("F", bound=Callable[..., Any])
# whole numbers are divided as in C, and other threads may run meanwhile
HOW: dict[str, Any] = {"error_model": "numpy", "nogil": True}
# what the x86 processors of the clouds have in common: code is made for it, so that an image serves all of them
COMMON, FEATURES = "x86-64-v3", {"+avx2", "+bmi2", "+fma"}
if set(get_host_cpu_features().split(",")) >= FEATURES:  # type: ignore[no-untyped-call]
    config: Any = numba.config
    config.CPU_NAME, config.CPU_FEATURES = config.CPU_NAME or COMMON, config.CPU_FEATURES or ""


def compiled(*signatures: str) -> Callable[[F], F]:
    """Compile a function for these types of its arguments, such as `void(uint8[:, ::1])`.

    The code is kept for later processes, beside the module or in the user's cache.
    """

    def compile_one(function: F) -> F:
        try:
            return cast(F, numba.njit(list(signatures), cache=True, **HOW)(function))
        except (OSError, RuntimeError, EOFError, UnpicklingError):
            # no folder can be written, the disk is full, or what lies there is damaged
            return cast(F, numba.njit(list(signatures), **HOW)(function))

    return compile_one


def inner(function: F) -> F:
    """A function that the compiled ones of its module call, for whatever types they have."""
    return cast(F, numba.njit(function, **HOW))


def inlined(function: F) -> F:
    """An `inner` function that stands in place of its calls, before loops are made to handle several pixels at once."""
    return cast(F, numba.njit(function, inline="always", **HOW))


class Beside(InTreeCacheLocator):
    """Where an image keeps the code that was compiled as it was made: beside the module, where nobody can write."""

    def ensure_cache_path(self) -> None:
        """The folder is there, or can be made. Raises `OSError` otherwise."""
        Path(self.get_cache_path()).mkdir(exist_ok=True)  # type: ignore[no-untyped-call]
