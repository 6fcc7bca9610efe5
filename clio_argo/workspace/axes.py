"""Which pages of a file are its slices: those of one channel and one time."""

from collections.abc import Sequence

from clio_argo.model.base import few
from clio_argo.model.request import Request
from clio_argo.store.images.base import Header


def chosen_pages(headers: Sequence[Header], request: Request) -> list[tuple[int, Header]] | str:
    """Pages of a file, by number, of the channel and time that a request chooses; or why there are none."""
    pages = list(enumerate(headers))
    if len(series := {h.series for h in headers}) > 1:
        return f"{len(series)} series; save the one that is meant as a file of its own"
    for axis, wanted in (("channel", request.channel), ("time", request.time)):
        held = {getattr(h, axis): h.channel_name if axis == "channel" else "" for h in headers}
        names = few([f"{n}: {name}" if name else str(n) for n, name in sorted(held.items())])
        if wanted is None and len(held) > 1:
            swapped = "; slices that are called times are swapped in Fiji: Image > Properties" * (axis == "time")
            option = f"`{axis}: {min(held)}` (--set {axis}={min(held)})"
            return f"{len(held)} {axis}s ({names}); choose one, for example {option}{swapped}"
        if wanted is not None and wanted not in held:
            return f"no {axis} {wanted}; there is {names}"
        pages = [(n, h) for n, h in pages if wanted in (None, getattr(h, axis))]
    return pages
