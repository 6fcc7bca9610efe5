"""The channels of a stack: where its files hold them, and what each of them shows of a slice."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from clio_argo.errors import UserError
from clio_argo.model.base import few
from clio_argo.model.channels import CHANNEL, RED_GREEN_BLUE, ChannelPlace, index_of, named
from clio_argo.model.plan import Plan, Problem, SliceFile
from clio_argo.model.request import Request
from clio_argo.store.images.base import Coloured, Header, Undecodable, Unreadable
from clio_argo.store.slices import Entry
from clio_argo.store.sources.base import StackSource

# colour may begin anywhere in a stack
LOOK_AT = 3
EQUAL = "one of grey values; colours are equal where slices were looked at, `channels` reads them nevertheless"
Item = TypeVar("Item")
SliceFiles = list[SliceFile]
ChannelFiles = Sequence[tuple[str, dict[int, Entry]]]
"""Name of each channel, and its files by z."""


def aligned_name(request: Request) -> str:
    """Name of the channel that is aligned, where each has files of its own. Raises `UserError`."""
    return request.channels[index_of(request.alignment.channel or 0, request.channels)]


def of_channel(request: Request, name: str) -> Request:
    """The request for the files of one channel."""
    return request.model_copy(update={"image": (request.image or "").replace(CHANNEL, name.replace("%", "%%"))})


def requests_of_files(request: Request) -> list[Request]:
    """The request for the files of each channel; itself if channels have none of their own."""
    return [of_channel(request, name) for name in request.channels] if has_own_files(request) else [request]


def has_own_files(request: Request) -> bool:
    """Whether each channel of a slice is a file."""
    return CHANNEL in (request.image or "")


def with_places(
    source: StackSource, slices: SliceFiles, headers: Mapping[int, Header], files: ChannelFiles, request: Request
) -> SliceFiles:
    """Slices with the places of all their channels: files, pages, or samples of a page.

    headers: of each slice, by its number.

    Raises:
        UserError: a channel has no file or only such of another kind, or nothing decodes of what has to be looked at.
    """
    first = headers[slices[0].z]
    if files:
        return _with_files(source, slices, files, request)
    if first.pages:
        return [_with_pages(s, headers[s.z], request) for s in slices]
    return _with_samples(source, slices, first, request)


def _with_pages(slice_file: SliceFile, header: Header, request: Request) -> SliceFile:
    places = tuple(_place(slice_file, page=p.number, offset=p.offset) for p in header.pages)
    aligned = index_of(request.alignment.channel or 0, header.names)
    return slice_file.model_copy(update={"channels": places, "aligned": (aligned,)})


def _with_files(source: StackSource, slices: SliceFiles, files: ChannelFiles, request: Request) -> SliceFiles:
    _refuse_unlike(source, slices, files, request)
    aligned = index_of(request.alignment.channel or 0, request.channels)

    def one(s: SliceFile) -> SliceFile:
        lost = ChannelPlace(name="", size_bytes=0, stamp="")
        found = [entries.get(s.z) for _, entries in files]
        places = [
            lost if e is None else ChannelPlace(name=e.name, size_bytes=e.size_bytes, stamp=e.stamp) for e in found
        ]
        places[aligned] = _place(s, page=s.page, offset=s.offset)
        return s.model_copy(update={"channels": tuple(places), "aligned": (aligned,)})

    return [one(s) for s in slices]


def named_channels(problems: Sequence[Problem], files: ChannelFiles, request: Request) -> list[Problem]:
    """Problems of which those of slices that are missing in the aligned channel only have its name."""
    if not files:
        return list(problems)
    there, aligned = {z for _, of_z in files for z in of_z}, f"channel {aligned_name(request)}"
    return [p.model_copy(update={"detail": aligned}) if p.kind == "missing" and p.z in there else p for p in problems]


def _refuse_unlike(source: StackSource, slices: SliceFiles, files: ChannelFiles, request: Request) -> None:
    faults = list[str]()
    for name, entries in files:
        both = [(s, entries[s.z]) for s in slices if s.z in entries]
        unlike = [_unlike(source, *pair) for pair in _some(both)]
        if not both:
            faults.append(f"no slice of channel {name}, of which files are called {of_channel(request, name).image}")
        elif all(unlike):
            faults.append(f"channel {name}: {unlike[0]}; save all channels alike")
    if faults:
        raise UserError.all(f"source {request.source}: channels that cannot be used:", faults)


def _unlike(source: StackSource, s: SliceFile, entry: Entry) -> str:
    """In what the file of another channel differs from a slice; empty for nothing, or where it cannot be read."""
    try:
        header = source.headers(entry)[0]
    except Unreadable:
        # as of any slice that is damaged, `reduce` says so
        return ""
    found, own = (f"{w} x {h} {kind}" for w, h, kind in (
        (header.width, header.height, header.sample_type), (s.width, s.height, s.type_name)
    ))  # fmt: skip
    return "" if found == own else f"{entry.name}: {found}, {s.name} is {own}"


def _some(items: Sequence[Item]) -> Sequence[Item]:
    """A few of many, from everywhere among them."""
    return items[:: max(1, -(-len(items) // LOOK_AT))]


def _with_samples(source: StackSource, slices: SliceFiles, header: Header, request: Request) -> SliceFiles:
    """Slices with the samples of their pixels as channels, if they show more than grey values."""
    if header.channels == 1 or not (seen := "colour" if request.channels else _colours(source, slices)):
        return slices
    count, alpha = header.channels, header.alpha
    grey = alpha and seen == "transparent"
    samples = 1 if grey else count - alpha
    names = sample_names(header, samples, request)
    chosen = request.alignment.channel
    luminance = header.rgb and not grey and chosen is None
    aligned = (0, 1, 2) if luminance else (index_of(chosen or 0, names or ("0",)),)

    def one(s: SliceFile) -> SliceFile:
        places = tuple(_place(s, page=s.page, offset=s.offset, sample=i, alpha=alpha) for i in range(samples))
        return s.model_copy(update={"channels": places, "aligned": aligned})

    return [one(s) for s in slices]


def sample_names(header: Header, samples: int, request: Request) -> tuple[str, ...]:
    """Names of channels that share a page; none of one."""
    if samples == 1:
        return ()
    if len(request.channels) == samples:
        return request.channels
    return tuple(RED_GREEN_BLUE) if header.rgb else tuple(map(str, range(samples)))


def _colours(source: StackSource, slices: SliceFiles) -> str:
    """What slices show besides grey values, "colour" or "transparent"; else empty. Only pixels can tell."""
    faults, found = list[str](), set[str]()
    for slice_file in _some(slices):
        try:
            source.samples(slice_file)
        except Coloured as error:
            found.add(error.shows)
        except Undecodable as error:
            faults.append(f"{slice_file.name}: {error}")
        else:
            found.add("")
    if not found:
        raise UserError.all("the slices cannot be used:", faults)
    return max(found, key=["", "transparent", "colour"].index)


def with_channels(plan: Plan, first: SliceFile, header: Header, request: Request) -> Plan:
    """The plan with the channels of its slices, as `first` has them.

    Raises `UserError` if settings name channels that are not there.
    """
    places = first.channels
    by_sample = bool(places) and places[0].sample is not None
    rgb = by_sample and header.rgb and len(places) > 1
    own = request.channels if has_own_files(request) else header.names
    names = own or (sample_names(header, len(places), request) if by_sample else ())
    _refuse_unknown(request, names)
    aligned = first.aligned[0] if len(names) > 1 and len(first.aligned) == 1 else None
    return plan.model_copy(
        update={
            "channels": named(names, rgb) if len(names) > 1 else (),
            "rgb": rgb,
            "alpha": any(p.alpha for p in places),
            "align_channel": aligned,
        }
    )


def channels_text(plan: Plan, header: Header) -> str:
    """The channels of a stack and what is aligned, in words; empty if there is one of grey values.

    header: of a slice.
    """
    where = "opacity 0 is background"
    if not plan.channels:
        return where if plan.alpha else EQUAL if header.rgb else ""
    names = [c.name for c in plan.channels]
    aligned = "their luminance" if plan.align_channel is None else names[plan.align_channel]
    return f"{', '.join(names)}; {aligned} is aligned{f'; {where}' if plan.alpha else ''}"


def lost_files(slices: SliceFiles, plan: Plan) -> list[str]:
    """Of each channel of which slices have no file, how many."""
    lost = {
        c.name: [str(s.z) for s in slices if s.channels and not s.channels[n].name] for n, c in enumerate(plan.channels)
    }
    return [f"channel {c}: no file of {len(z)} slice{'s' * (len(z) > 1)} ({few(z)})" for c, z in lost.items() if z]


def _refuse_unknown(request: Request, names: Sequence[str]) -> None:
    there = f"there is {few(list(names))}" if len(names) > 1 else "the slices have one channel"
    used: list[tuple[str, Iterable[str]]] = [
        ("contrast.channels", request.contrast.channels), ("viewer.windows", request.viewer.windows)
    ]  # fmt: skip
    faults = [f"{setting}: no channel {n}; {there}" for setting, value in used for n in value if n not in names]
    if request.channels and len(request.channels) != max(1, len(names)):
        faults.append(f"channels: {len(request.channels)} names ({few(list(request.channels))}); {there}")
    if request.alignment.channel is not None and len(names) < 2:
        faults.append(f"alignment.channel {request.alignment.channel}: {there}")
    if faults:
        raise UserError.all(f"source {request.source}: channels that are not there:", faults)


def _place(s: SliceFile, **where: Any) -> ChannelPlace:
    return ChannelPlace(name=s.name, size_bytes=s.size_bytes, stamp=s.stamp, **where)
