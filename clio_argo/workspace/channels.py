"""The channels of a stack: where its files hold them, and what each of them shows of a slice."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from clio_argo.errors import UserError
from clio_argo.model.base import counted, few
from clio_argo.model.channels import CHANNEL, RED_GREEN_BLUE, ChannelPlace, index_of, named
from clio_argo.model.plan import Plan, Problem, SliceFile
from clio_argo.model.request import Request
from clio_argo.store.images.base import Coloured, Header, Undecodable
from clio_argo.store.slices import Entry
from clio_argo.store.sources.base import StackSource
from clio_argo.workspace.headers import all_headers

# colour may begin anywhere in a stack
LOOK_AT = 3
EQUAL = "one of grey values: red, green and blue are equal in slices looked at; `channels` with three names reads them"
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
    """Raises `UserError` if a channel has no file, or none that is like the slices."""
    places = [_places_of(source, slices, of_z) for _, of_z in files]
    faults = [
        f"channel {name}: {found[0].fault}; save all channels alike" if of_z else
        f"no slice of channel {name}, of which files are called {of_channel(request, name).image}"
        for (name, of_z), found in zip(files, places, strict=True) if all(p.fault for p in found)
    ]  # fmt: skip
    if faults:
        raise UserError.all(f"source {request.source}: channels that cannot be used:", faults)
    aligned = index_of(request.alignment.channel or 0, request.channels)
    places[aligned] = [_place(s, page=s.page, offset=s.offset) for s in slices]
    together = zip(slices, zip(*places, strict=True), strict=True)
    return [s.model_copy(update={"channels": own, "aligned": (aligned,)}) for s, own in together]


def _places_of(source: StackSource, slices: SliceFiles, files: Mapping[int, Entry]) -> list[ChannelPlace]:
    """The places of one channel of all slices, with what is wrong with each."""
    there = [files[s.z] for s in slices if s.z in files]
    headers = dict(zip((e.name for e in there), all_headers(source, there, {}), strict=True))
    return [_file_place(s, files.get(s.z), headers) for s in slices]


def _file_place(s: SliceFile, entry: Entry | None, headers: Mapping[str, list[Header] | Problem]) -> ChannelPlace:
    if entry is None:
        return ChannelPlace(name="", size_bytes=0, stamp="", fault="has no file")
    fault = _fault(s, entry, headers[entry.name])
    return ChannelPlace(name=entry.name, size_bytes=entry.size_bytes, stamp=entry.stamp, fault=fault)


def _fault(s: SliceFile, entry: Entry, headers: list[Header] | Problem) -> str:
    """Why the file of another channel of a slice cannot be used; empty if it can."""
    if isinstance(headers, Problem):
        return f"{entry.name}: {headers.kind} {headers.detail}".strip()
    header = headers[0]
    if header.truncated:
        return f"{entry.name}: truncated"
    found, own = (f"{w} x {h} {kind}" for w, h, kind in (
        (header.width, header.height, header.sample_type), (s.width, s.height, s.type_name)
    ))  # fmt: skip
    return "" if found == own else f"{entry.name} is {found}, {s.name} is {own}"


def named_channels(problems: Sequence[Problem], files: ChannelFiles, request: Request) -> list[Problem]:
    """Problems of which those of slices that are missing in the aligned channel only have its name."""
    if not files:
        return list(problems)
    there = {z: entry.name for _, of_z in files for z, entry in of_z.items()}
    detail = f"channel {aligned_name(request)}"
    return [
        p.model_copy(update={"detail": detail, "file": there[p.z]}) if p.kind == "missing" and p.z in there else p
        for p in problems
    ]


def _some(items: Sequence[Item]) -> Sequence[Item]:
    """A few of many, from everywhere among them."""
    return items[:: max(1, -(-len(items) // LOOK_AT))]


def _with_samples(source: StackSource, slices: SliceFiles, header: Header, request: Request) -> SliceFiles:
    """Slices with the samples of their pixels as channels, if they show more than grey values."""
    if header.channels == 1 or not (seen := "colour" if request.channels else _colours(source, slices)):
        return slices
    alpha, one_only = header.alpha, request.channel is not None
    grey = one_only or (alpha and seen == "transparent")
    samples = [request.channel or 0] if grey else range(header.channels - alpha)
    names = sample_names(header, len(samples), request)
    chosen = request.alignment.channel
    luminance = header.rgb and not grey and chosen is None
    aligned = (0, 1, 2) if luminance else (index_of(chosen or 0, names or ("0",)),)

    def one(s: SliceFile) -> SliceFile:
        places = tuple(_place(s, page=s.page, offset=s.offset, sample=i, alpha=alpha) for i in samples)
        return s.model_copy(update={"channels": places, "aligned": aligned})

    return [one(s) for s in slices]


def sample_names(header: Header, samples: int, request: Request) -> tuple[str, ...]:
    """Names of channels that share a page; none of one."""
    if samples == 1:
        return ()
    if len(request.channels) == samples:
        return request.channels
    numbers = tuple(map(str, range(samples)))
    return (*RED_GREEN_BLUE, *numbers[3:]) if header.rgb else numbers


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
            "samples": header.channels if by_sample and len(names) > 1 else 0,
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
    """What files of channels cannot be used, by channel."""
    faults = [[(s.z, s.channels[n].fault) for s in slices if s.channels] for n in range(len(plan.channels))]
    wrong = {c.name: [f"z {z} {why}" for z, why in of if why] for c, of in zip(plan.channels, faults, strict=True)}
    return [
        f"channel {name}: {counted(len(of), 'slice')} without it ({few(of, 3)})" for name, of in wrong.items() if of
    ]


def _refuse_unknown(request: Request, names: Sequence[str]) -> None:
    there = f"there is {few(list(names))}" if len(names) > 1 else "the slices have one channel"
    used: list[tuple[str, Iterable[str]]] = [
        ("contrast.channels", request.contrast.channels), ("viewer.windows", request.viewer.windows)
    ]  # fmt: skip
    faults = [f"{setting}: no channel {n}; {there}" for setting, value in used for n in value if n not in names]
    if request.channels and len(request.channels) != max(1, len(names)):
        faults.append(f"channels: {counted(len(request.channels), 'name')} ({few(list(request.channels))}); {there}")
    if request.alignment.channel is not None and len(names) < 2:
        faults.append(f"alignment.channel {request.alignment.channel}: {there}")
    if faults:
        raise UserError.all(f"source {request.source}: channels that are not there:", faults)


def _place(s: SliceFile, **where: Any) -> ChannelPlace:
    return ChannelPlace(name=s.name, size_bytes=s.size_bytes, stamp=s.stamp, **where)
