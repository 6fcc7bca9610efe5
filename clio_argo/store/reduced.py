"""The small products of `reduce`, several slices to an object."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clio_argo.errors import UserError
from clio_argo.model.run import ObjectRecord
from clio_argo.store.documents import Store


def write_arrays(store: Store, name: str, arrays: Mapping[str, NDArray[Any]]) -> ObjectRecord:
    """Write named arrays as one npz object; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return store.write(name, buffer.getvalue())


def read_arrays(store: Store, name: str) -> Mapping[str, NDArray[Any]]:
    """The arrays of an npz object; each is unpacked when it is asked for."""
    return next(read_all_arrays(store, [name]))


def read_all_arrays(store: Store, names: Sequence[str]) -> Iterator[Mapping[str, NDArray[Any]]]:
    """The arrays of many npz objects, read many at a time."""
    for name, data in zip(names, store.need_all(names), strict=True):
        try:
            loaded: Mapping[str, NDArray[Any]] = np.load(io.BytesIO(data), allow_pickle=False)
        except (ValueError, OSError) as error:
            raise UserError(f"{store.url}{name}: damaged; delete it and run again ({error})") from error
        yield loaded
