"""Which pages of a file are its slices: those of one time, with all channels or the one that is chosen."""

from collections.abc import Mapping, Sequence

from clio_argo.errors import UserError
from clio_argo.model.base import few
from clio_argo.model.channels import index_of
from clio_argo.model.request import Request
from clio_argo.store.images.base import Header, Page


def chosen_pages(headers: Sequence[Header], request: Request) -> list[tuple[int, Header]] | str:
    """Pages of a file, by number, of the channel and time that a request chooses; or why there are none.

    Where several channels are read, these are the pages of the aligned one; their headers have those of all.
    """
    pages = list(enumerate(headers))
    if len(series := {h.series for h in headers}) > 1:
        return f"{len(series)} series; save the one that is meant as a file of its own"
    times, channels = dict.fromkeys((h.time for h in headers), ""), {h.channel: h.channel_name for h in headers}
    samples = headers[0].channels - headers[0].alpha
    if len(channels) == 1 and samples > 1 and request.channel in range(samples):
        # samples of a pixel are told apart where they are decoded
        request = request.model_copy(update={"channel": None})
    if request.time is None and len(times) > 1:
        swapped = "; slices that are called times are swapped in Fiji: Image > Properties"
        option = f"`time: {min(times)}` (--set time={min(times)})"
        return f"{len(times)} times ({_names(times)}); choose one, for example {option}{swapped}"
    for axis, wanted, held in (("channel", request.channel, channels), ("time", request.time, times)):
        if wanted is not None and wanted not in held:
            return f"no {axis} {wanted}; there is {_names(held)}"
    pages = [(n, h) for n, h in pages if request.time in (None, h.time)]
    if request.channel is None and len(channels) > 1:
        return _of_all_channels(pages, channels, request)
    return [(n, h) for n, h in pages if request.channel in (None, h.channel)]


def _names(held: Mapping[int, str]) -> str:
    return few([f"{n}: {name}" if name else str(n) for n, name in sorted(held.items())])


def _of_all_channels(
    pages: Sequence[tuple[int, Header]], channels: Mapping[int, str], request: Request
) -> list[tuple[int, Header]] | str:
    """Pages of the aligned channel, each with those of all channels in the same place."""
    numbers = sorted(channels)
    own = [[(n, h) for n, h in pages if h.channel == c] for c in numbers]
    if len({len(of_channel) for of_channel in own}) > 1:
        counts = ", ".join(f"{len(p)} of channel {c}" for c, p in zip(numbers, own, strict=True))
        return f"channels with unequal numbers of slices: {counts}; `channel: {numbers[0]}` reads one of them"
    names = tuple(channels[c] or str(c) for c in numbers)
    names = request.channels if len(request.channels) == len(names) else names
    try:
        aligned = index_of(request.alignment.channel or 0, names)
    except UserError as error:
        return str(error)
    places = [tuple(Page(number=n, offset=h.offset) for n, h in together) for together in zip(*own, strict=True)]
    return [
        (n, h.model_copy(update={"pages": place, "names": names}))
        for (n, h), place in zip(own[aligned], places, strict=True)
    ]
