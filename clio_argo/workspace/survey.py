"""Finds the slices of a source, reads every header and names all problems. Writes nothing."""

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from shlex import quote
from statistics import mode
from typing import Any, NamedTuple

from clio_argo.errors import UserError, printable
from clio_argo.model.base import counted, digest, few
from clio_argo.model.name_order import BY_NAME, HINT, natural_key
from clio_argo.model.numbering import Number, Numbering, constant_step, differ_by_numbers, is_regular
from clio_argo.model.plan import FanOut, Plan, Problem, ProblemKind, SliceFile, SliceUnit, slices_per_unit
from clio_argo.model.problems import problem_lines
from clio_argo.model.request import Request
from clio_argo.model.sizes import accept_sizes, size_runs, usual_size
from clio_argo.model.values import READ, ValueMap
from clio_argo.store.folders import stack_below
from clio_argo.store.images import TYPES_READ, format_names
from clio_argo.store.images.base import Header
from clio_argo.store.manifest import software
from clio_argo.store.slices import RAW, Entry, followed, without_vague
from clio_argo.store.source_url import find_source
from clio_argo.store.sources import find_kind
from clio_argo.store.sources.base import StackSource
from clio_argo.store.transfers import is_transfer
from clio_argo.workspace.axes import chosen_pages
from clio_argo.workspace.channels import (
    ChannelFiles,
    aligned_name,
    channels_text,
    has_own_files,
    lost_files,
    named_channels,
    of_channel,
    with_channels,
    with_places,
)
from clio_argo.workspace.facts import ignored, with_facts
from clio_argo.workspace.headers import Known, all_headers
from clio_argo.workspace.name_patterns import numbers_of
from clio_argo.workspace.values import with_values

BOMB_RATIO = 200  # PNG makes EM slices 1.5 times smaller, deflate makes nothing more than 1032 times smaller
MOST_MISSING = 100_000  # slices of the longest stack that was run; each missing one is an entry of plan.json
# of the memory of a worker, for slices of a volume that share chunks
READ_SHARE = 1 / 8
# how Fiji names the files of split channels, of which each is a stack
CHANNEL = re.compile(r"^C[0-9]-")
FoundSlice = tuple[int, Entry, int, Header]
"""Number of a slice, its file, its page there, and its header."""


def survey(
    request: Request, source: StackSource | None = None, read: Known | None = None
) -> tuple[Plan, tuple[SliceUnit, ...], Sequence[Entry]]:
    """The plan of a stack, its usable slices by unit, and all files of the folder in which they lie.

    source: of files, as far as they count; None: all that the request's source holds.
    read: headers that are known; it gets the others.

    Raises:
        UserError: there is nothing to plan with: no source, no slices, no way to number them.
    """
    kind, source = ("files", source) if source else find_kind(find_source(request.source))
    if kind == "volume" and request.order == "name":
        raise UserError(f"source {request.source}: planes of a volume have no names; leave `order: name` out")
    names = of_channel(request, aligned_name(request)) if has_own_files(request) else request
    images, entries, number = find_files(names, source)
    read = {} if read is None else read
    in_a_row = _files_in_a_row(source, images, names, read)
    numbered = NumberedFiles(in_a_row, 1, 0) if in_a_row else number_files(names, images, number)
    candidates = numbered.files
    problems, slices = _read_headers(source, candidates, request, read)
    others = _files_of_channels(request, entries, numbered) if has_own_files(request) else []
    numbers = {z for z, _ in candidates} | {z for z, *_ in slices} | {z for _, of_z in others for z in of_z}
    stack = _range(request, numbers, numbered)
    usable, unusable = _judge([s for s in slices if s[0] in stack], request)
    problems += unusable + _duplicates(candidates) + _missing(stack, {z for z, *_ in slices}, problems)
    if not usable:
        raise UserError.all(f"source {request.source}: no usable slice", problem_lines(problems))
    of_z = {z: h for z, _, _, h in slices}
    header = of_z[usable[0].z]
    usable, problems = with_places(source, usable, of_z, others, request), named_channels(problems, others, request)
    stamps, kept = {e.name: e.stamp for _, e in candidates}, {s.z for s in usable}
    problems = [
        p.model_copy(update={"stamp": stamps.get(p.file or "", "")}) for p in problems if p.z is None or p.z in stack
    ]
    plan, units = _assemble(source, with_values(source, usable, request), problems, stack, request)
    plan = with_channels(plan, usable[0], header, request)
    plan = plan.model_copy(update={"source_kind": kind, **_reading(source, numbered, request)})
    beyond = [f"{counted(n, 'slice', 'lies', 'lie')} beyond minz and maxz: left out"] if (n := numbered.beyond) else []
    used = [(e.name, h) for z, e, _, h in slices if z in kept]
    taken = stamps.keys() | {name for s in usable for name in s.files}
    plan = with_facts(plan, request, used, ignored(source, entries, taken), channels_text(plan, header))
    return plan.model_copy(update={"warnings": (*plan.warnings, *lost_files(usable, plan), *beyond)}), units, entries


def find_files(request: Request, source: StackSource) -> tuple[list[Entry], list[Entry], Numbering | None]:
    """Image files and transfers at the source's root, in raw/ or in folders below it; numbers by a pattern.

    Raises `UserError` if there is none, or if they lie both at the root and in raw/.
    """
    listed = listings(source, request)
    slices = {e.name for e in without_vague(chain(*listed))}
    listed = [[e for e in entries if e.name in slices] for entries in listed]
    root, raw = ([e for e in entries if not is_transfer(e.name)] for entries in listed)
    given = request.image or request.image_regex or request.order == "name"
    number = _numbering(request, [*root, *raw]) if given else None
    at_root, in_raw = (
        [e for e in entries if number is None or number(e.numbered) is not None] for entries in (root, raw)
    )
    if at_root and in_raw:
        raise UserError(
            f"source {request.source}: slices lie both at its root ({at_root[0].name}) and in raw/ "
            f"({in_raw[0].name}); give the folder that is meant"
        )
    if not (at_root or in_raw):
        others = "; ".join(source.unread()[:5]) or f"no {format_names()} file"
        names = ", ".join(printable(e.name) for e in (root + raw)[:5]) or others
        pattern = request.image or request.image_regex
        text = f"no slice{f' named {pattern!r}' if pattern else ''}; there is {names}"
        raise UserError(f"source {request.source}: found {text}; {_init(request)}")
    return at_root or in_raw, listed[0 if at_root else 1], number


def _numbering(request: Request, entries: Sequence[Entry]) -> Numbering:
    names = [e.numbered for e in entries]
    try:
        return numbers_of(request, names)
    except UserError as error:
        raise UserError(f"{error}; {_init(request)}") from error


def _init(request: Request) -> str:
    return f"clio-argo init {quote(request.source)} names what there is"


def listings(source: StackSource, request: Request) -> list[list[Entry]]:
    """Images and transfers at the root of a source and in raw/; without any, those of one stack in folders below."""
    listed = [source.entries(f) for f in ("", RAW)]
    listed = listed if any(listed) else [stack_below(source, by_name=request.order == "name"), []]
    return [[followed(e) for e in entries] for entries in listed] if request.follow_links else listed


class NumberedFiles(NamedTuple):
    """Files with their z, None for files of many pages; the number in a file's name is z * step + rest.

    beyond: how many other files have a number before `minz` or behind `maxz`.
    """

    files: Sequence[tuple[int | None, Entry]]
    step: Number
    rest: Number
    beyond: int = 0


def _reading(source: StackSource, files: NumberedFiles, request: Request) -> dict[str, Any]:
    """Fields of the plan that say how slices are numbered and read."""
    memory_bytes = int(READ_SHARE * request.memory_gib * 2**30)
    together, size_bytes = source.together(memory_bytes, [e for _, e in files.files])
    step = files.step if isinstance(files.step, int) else float(files.step)
    return {"z_step": step, "together": together, "together_mib": -(-size_bytes >> 20)}


def number_files(request: Request, entries: Sequence[Entry], number: Numbering | None = None) -> NumberedFiles:
    """Slices of a request among its images; the one multi-page file that needs no number has none.

    number: the number in the name of each file, if a pattern gave it already.

    Raises:
        UserError: the names have no number, or decimals that go in no steps.
    """
    if len(entries) == 1 and request.image is None and request.image_regex is None:
        return NumberedFiles([(None, entries[0])], 1, 0)
    number = number or _numbering(request, entries)
    pairs = [(n, e) for e in entries if (n := number(e.numbered)) is not None]
    pairs.sort(key=lambda pair: (pair[0], natural_key(pair[1].name)))
    numbers = [n for n, _ in pairs]
    step = constant_step(numbers)
    if not is_regular(numbers, step):
        odd = next(e for n, e in pairs if (n - numbers[0]) % step)
        text = f"{printable(pairs[0][1].name)} and {printable(odd.name)}: decimals that go in no constant step"
        raise UserError(f"source {request.source}: {text}; number the slices by integers, or {BY_NAME}")
    low = -math.inf if request.minz is None else request.minz
    high = math.inf if request.maxz is None else request.maxz
    files = [(int(n // step), e) for n, e in pairs if low <= n <= high]
    return NumberedFiles(files, step, numbers[0] % step if pairs else 0, len(pairs) - len(files))


def _files_in_a_row(
    source: StackSource, images: Sequence[Entry], request: Request, read: Known
) -> list[tuple[int | None, Entry]]:
    """Files of many pages that are one stack, in natural order; none if each file is a slice.

    read: gets the headers that were read.
    """
    entries = sorted(images, key=lambda e: natural_key(e.numbered))
    if len(entries) > 1 and len({CHANNEL.sub("", e.numbered) for e in entries}) == 1:
        names = few([e.name for e in entries])
        raise UserError(f"source {request.source}: {names} look like channels that Fiji split; give one of the files")
    # of two stacks in one folder each is named otherwise
    is_one = request.order == "name" or differ_by_numbers([e.numbered for e in entries])
    if len(entries) < 2 or not is_one:
        return []
    return [(None, e) for e in entries] if all(_is_stack(source, e, request, read) for e in entries[:2]) else []


def _is_stack(source: StackSource, entry: Entry, request: Request, read: Known) -> bool:
    [headers] = all_headers(source, [entry], read)
    pages = chosen_pages(headers, request) if isinstance(headers, list) else ""
    return isinstance(pages, list) and len(pages) > 1


def _read_headers(
    source: StackSource, candidates: Sequence[tuple[int | None, Entry]], request: Request, read: Known
) -> tuple[list[Problem], list[FoundSlice]]:
    problems, slices = list[Problem](), list[FoundSlice]()
    in_a_row = len(candidates) > 1 and candidates[0][0] is None
    for (z, entry), result in zip(candidates, all_headers(source, [e for _, e in candidates], read), strict=True):
        pages = _pages(result, request, entry, one_slice=z is not None)
        if isinstance(pages, Problem):
            problems.append(pages.model_copy(update={"z": z}))
            continue
        first = z if z is not None else _single(entry, pages, request)
        if in_a_row and slices:
            first = slices[-1][0] + 1
        slices += [(first + n, entry, page, h) for n, (page, h) in enumerate(pages)]
    if in_a_row and problems:
        # how many slices it holds decides the numbers of all that follow
        raise UserError.all(f"source {request.source}: of a stack in several files:", problem_lines(problems))
    return problems, slices


def _pages(
    result: list[Header] | Problem, request: Request, entry: Entry, one_slice: bool
) -> list[tuple[int, Header]] | Problem:
    """Pages of a file, by number, that are slices; or what is wrong with it."""
    pages = result if isinstance(result, Problem) else chosen_pages(result, request)
    if isinstance(pages, list) and one_slice and len(pages) > 1:
        pages = f"{len(pages)} pages in a file that is one slice of many"
    return Problem(kind="unsupported", file=entry.name, detail=pages) if isinstance(pages, str) else pages


def _single(entry: Entry, pages: Sequence[object], request: Request) -> int:
    """Number of the first slice of a file that holds the whole stack."""
    if entry.first_z is not None:
        return entry.first_z
    if request.minz is not None:
        return request.minz
    # one image and its number; digits in the name of a file of many pages number the file
    digits = "".join(c if c.isdecimal() else " " for c in entry.name).split()
    return int(digits[-1]) if len(pages) == 1 and digits and request.order == "number" else 0


def _range(request: Request, numbers: set[int | None], files: NumberedFiles) -> range:
    """All z from minz to maxz, which are numbers of files. Raises `UserError` if far too many of them have none."""
    known = [z for z in numbers if z is not None]
    low = min(known, default=0) if request.minz is None else -((files.rest - request.minz) // files.step)
    high = max(known, default=low) if request.maxz is None else (request.maxz - files.rest) // files.step
    stack = range(low, high + 1)
    if len(stack) - len(numbers) > MOST_MISSING:
        raise UserError(
            f"source {request.source}: {counted(len(numbers), 'file')} for the {len(stack)} slices from z {low} "
            f"to {high}; look at minz and maxz, and at the numbers in the names of the files; {HINT}"
        )
    return stack


def _judge(slices: Sequence[FoundSlice], request: Request) -> tuple[list[SliceFile], list[Problem]]:
    """Usable slices, and problems of those whose headers differ from what most slices have."""
    if not slices:
        return [], []
    common = _most_common([h for *_, h in slices])
    belongs = accept_sizes([(h.width, h.height) for *_, h in slices])
    usable, problems = [], []
    for (z, entry, page, header), fits_size in zip(slices, belongs, strict=True):
        problem = _fault(header, entry, common, fits_size, request)
        if problem is not None:
            problems.append(problem.model_copy(update={"z": z, "file": entry.name}))
        else:
            usable.append(_slice_file(z, entry, page, header))
    return usable, problems


def _most_common(headers: Sequence[Header]) -> Header:
    """What most slices have, each property by itself: no single slice needs to have all of them."""
    width, height = usual_size([(h.width, h.height) for h in headers])
    kind, channels, names = (
        mode(of) for of in zip(*((h.sample_type, h.channels, h.names) for h in headers), strict=True)
    )
    return Header(width=width, height=height, bits=0, type_name=kind, channels=channels, names=names)


def _slice_file(z: int, entry: Entry, page: int, header: Header) -> SliceFile:
    return SliceFile(
        z=z, name=entry.name, page=page, offset=header.offset, width=header.width, height=header.height,
        dtype=READ[header.sample_type], values=ValueMap.of(header.sample_type),
        size_bytes=entry.size_bytes, stage_nm=header.stage_nm, stamp=entry.stamp,
    )  # fmt: skip


def _fault(header: Header, entry: Entry, common: Header, alike: bool, request: Request) -> Problem | None:
    """The first reason why a slice is unusable, compared with what most slices have."""
    # slices of one size cannot all be bombs: an empty stack compresses as well
    w, h, pixels, name = header.width, header.height, header.width * header.height, header.sample_type
    bits = int("".join(filter(str.isdigit, name)) or 0)
    bomb = pixels > request.max_pixels or (pixels * bits // 8 > BOMB_RATIO * entry.size_bytes and not alike)
    channels, usual = (", ".join(of.names) or str(of.channels) for of in (header, common))
    faults: tuple[tuple[bool, ProblemKind, str], ...] = (
        (bomb, "decompression bomb", f"{w} x {h} pixels in {entry.size_bytes} bytes (max_pixels {request.max_pixels})"),
        (header.truncated, "truncated", f"its last pixels are not among its {entry.size_bytes} bytes"),
        (
            not alike and request.sizes == "alike",
            "other size",
            f"{w} x {h}, most are {common.width} x {common.height}; `sizes: any` takes each at its own size",
        ),
        (name not in READ, "unsupported", f"{name} values: {TYPES_READ}"),
        (name != common.sample_type, "other depth", f"{name}, most are {common.sample_type}"),
        (channels != usual, "other channels", f"{channels}, most have {usual}"),
    )
    return next((Problem(kind=kind, detail=text) for wrong, kind, text in faults if wrong), None)


def _duplicates(candidates: Sequence[tuple[int | None, Entry]]) -> list[Problem]:
    names = defaultdict[int | None, list[str]](list)
    for z, entry in candidates:
        names[z].append(entry.name)
    return [
        Problem(kind="duplicate", z=z, file=files[0], detail=f"also {', '.join(files[1:])}; remove all but one")
        for z, files in names.items()
        if len(files) > 1 and z is not None
    ]


def _missing(stack: range, numbers: set[int], problems: Sequence[Problem]) -> list[Problem]:
    known = numbers | {p.z for p in problems}
    # of a file that holds the whole stack and is not read, nobody knows how many are missing
    return [Problem(kind="missing", z=z) for z in stack if z not in known] if known != {None} else []


def _assemble(
    source: StackSource, usable: Sequence[SliceFile], problems: Sequence[Problem], stack: range, request: Request
) -> tuple[Plan, tuple[SliceUnit, ...]]:
    width, height = max(s.width for s in usable), max(s.height for s in usable)
    size = slices_per_unit(len(usable), width * height)
    cuts = [usable[i : i + size] for i in range(0, len(usable), size)]
    units = tuple(SliceUnit(unit=i, slices=tuple(cut)) for i, cut in enumerate(cuts))
    # pages share a file
    sizes = {s.name: s.size_bytes for s in usable} | {c.name: c.size_bytes for s in usable for c in s.channels}
    plan = Plan(
        source=source.url,
        minz=stack[0],
        maxz=stack[-1],
        width=width,
        height=height,
        sizes=size_runs([(s.z, (s.width, s.height)) for s in usable]),
        dtype=usable[0].dtype,
        values=usable[0].values,
        usable=len(usable),
        source_bytes=sum(sizes.values()),
        digest=digest([s.model_dump(exclude={"stage_nm"}) for s in usable]),
        problems=tuple(sorted(problems, key=lambda p: (p.z is None, p.z or 0, p.kind))),
        unit_slices=size,
        reduce=FanOut.of(len(units)),
        match=FanOut.of(0 if request.alignment.skip else len(units)),
        software=software(),
    )
    return plan, units


def _files_of_channels(request: Request, entries: Sequence[Entry], aligned: NumberedFiles) -> ChannelFiles:
    """Files of each channel by z, which they have as files of the `aligned` one have it."""

    def of_z(name: str) -> dict[int, Entry]:
        number = _numbering(of_channel(request, name), entries)
        numbers = [(number(e.numbered), e) for e in entries if not is_transfer(e.name)]
        # by a step of its own, a channel of every second slice would lie elsewhere
        on_step = [(n, e) for n, e in numbers if n is not None and not (n - aligned.rest) % aligned.step]
        return {int(n // aligned.step): e for n, e in on_step}

    return [(name, of_z(name)) for name in request.channels]
