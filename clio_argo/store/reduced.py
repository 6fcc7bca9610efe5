"""The small products of `reduce`, several slices to an object."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from clio_argo.errors import UserError, short_of_memory
from clio_argo.model.run import ObjectRecord
from clio_argo.store.documents import Store

T = TypeVar("T")


def write_arrays(store: Store, name: str, arrays: Mapping[str, NDArray[Any]]) -> ObjectRecord:
    """Write named arrays of any shape as one npz object; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return store.write(name, buffer.getvalue())


class Arrays(Mapping[str, NDArray[Any]]):
    """The arrays of an npz object, of any shape, each unpacked when it is looked up. Raises `UserError` if damaged."""

    def __init__(self, name: str, data: bytes) -> None:
        self._name = name
        self._loaded = self._sound(lambda: np.load(io.BytesIO(data), allow_pickle=False))
        self._names = self._sound(lambda: list(self._loaded))

    def __getitem__(self, key: str) -> NDArray[Any]:
        """An array in the shape in which it was written."""
        return np.asarray(self._sound(lambda: self._loaded[key]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _sound(self, read: Callable[[], T]) -> T:
        try:
            return read()
        # zip archives and arrays that are damaged fail in many ways; all mean the same
        except Exception as error:
            if short_of_memory(error):
                raise
            raise UserError(f"{self._name}: damaged; run the same command again ({error})") from error


def read_arrays(store: Store, name: str) -> Arrays:
    """The arrays of an npz object."""
    return next(read_all_arrays(store, [name]))


def read_all_arrays(store: Store, names: Sequence[str]) -> Iterator[Arrays]:
    """The arrays of many npz objects, read many at a time."""
    for name, data in zip(names, store.need_all(names), strict=True):
        yield Arrays(store.url_of(name), data)
