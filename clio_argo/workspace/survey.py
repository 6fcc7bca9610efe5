"""Finds the slices of a source, reads every header and names all problems. Reads no pixels, writes nothing."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from statistics import median
from typing import Literal

from clio_argo.errors import UserError
from clio_argo.model.base import digest
from clio_argo.model.numbering import numbering
from clio_argo.model.plan import FanOut, Plan, Problem, ProblemKind, SliceFile, SliceUnit, natural_key, slices_per_unit
from clio_argo.model.problems import problem_lines
from clio_argo.model.request import Request
from clio_argo.model.sizes import accept_sizes, size_runs, usual_size
from clio_argo.store.images import format_names, is_image
from clio_argo.store.images.base import Header, Undecodable, Unreadable
from clio_argo.store.manifest import software
from clio_argo.store.slices import RAW, Entry, Source, find_source

HEADER_THREADS, HEADER_BATCH, QUICK_S = 16, 16, 2e-3
BOMB_RATIO = 200
MOST_MISSING = 100_000
LOOK_AT = 3
BITS: dict[int, Literal["uint8", "uint16"]] = {8: "uint8", 16: "uint16"}
Found = tuple[int, Entry, int, Header]


def survey(config: Request) -> tuple[Plan, tuple[SliceUnit, ...]]:
    """What the source holds.

    Raises:
        UserError: there is nothing to plan with: no source, no slices, no way to number them.
    """
    source = Source(find_source(config.source))
    candidates = _numbered(config, _entries(config, source))
    problems, found = _read_headers(source, candidates, config)
    seen = {z for z, _ in candidates} | {z for z, *_ in found}
    wanted = _range(config, seen)
    if len(wanted) - len(seen) > MOST_MISSING:
        raise UserError(
            f"source {config.source}: {len(seen)} files for the {len(wanted)} slices from z {wanted[0]} to "
            f"{wanted[-1]}; look at minz and maxz, and at the numbers in the names of the files"
        )
    usable, judged = _judge([f for f in found if f[0] in wanted], config)
    problems += judged + _duplicates(candidates) + _missing(wanted, {f[0] for f in found}, problems)
    if not usable:
        raise UserError.all(f"source {config.source}: no usable slice", problem_lines(problems))
    _refuse_colour(source, usable, channels=max(h.channels for *_, h in found))
    return _assemble(source, usable, [p for p in problems if p.z is None or p.z in wanted], wanted, config)


def _entries(config: Request, source: Source) -> list[Entry]:
    """Image files at the source's root, or in raw/ if there are none."""
    root, raw = ([e for e in source.entries(f) if is_image(e.name)] for f in ("", RAW))
    number = [[e for e in found if _matches(config, e.name)] for found in (root, raw)]
    if all(number):
        raise UserError(
            f"source {config.source}: slices lie both at its root ({number[0][0].name}) and in raw/ "
            f"({number[1][0].name}); give the folder that is meant"
        )
    if not any(number):
        seen = ", ".join(e.name for e in (root + raw)[:5]) or f"no {format_names()} file"
        asked = config.image or config.image_regex
        raise UserError(
            f"source {config.source}: found no slice{f' named {asked!r}' if asked else ''}; there is {seen}"
        )
    return number[0] or number[1]


def _matches(config: Request, name: str) -> bool:
    if config.image is None and config.image_regex is None:
        return True
    return numbering(config, [])(name.rpartition("/")[2]) is not None


def _numbered(config: Request, entries: Sequence[Entry]) -> list[tuple[int | None, Entry]]:
    """Files with their slice numbers; None for the one multi-page file that needs none."""
    names = [e.name.rpartition("/")[2] for e in entries]
    if len(entries) == 1 and config.image is None and config.image_regex is None:
        return [(None, entries[0])]
    number = numbering(config, names)
    found = [(number(n), e) for n, e in zip(names, entries, strict=True)]
    found.sort(key=lambda f: (f[0] or 0, natural_key(f[1].name)))
    inside = range(config.minz or 0, 2**63 if config.maxz is None else config.maxz + 1)
    return [(z, e) for z, e in found if z is not None and z in inside]


def _read_headers(
    source: Source, candidates: Sequence[tuple[int | None, Entry]], config: Request
) -> tuple[list[Problem], list[Found]]:
    problems: list[Problem] = []
    found: list[Found] = []
    for (z, entry), result in zip(candidates, _all_headers(source, [e for _, e in candidates]), strict=True):
        if isinstance(result, Problem):
            problems.append(result.model_copy(update={"z": z}))
        elif z is not None and len(result) > 1:
            text = f"{len(result)} pages in a file that is one slice of many"
            problems.append(Problem(kind="unsupported", z=z, file=entry.name, detail=text))
        else:
            first = z if z is not None else _single(entry, result, config)
            found += [(first + page, entry, page, h) for page, h in enumerate(result)]
    return problems, found


def _all_headers(source: Source, entries: Sequence[Entry]) -> Iterator[list[Header] | Problem]:
    """Headers of all files, in order: many at a time where each takes long, as from a bucket.

    Threads that read from a disk would wait for each other longer than they read.
    """
    took_s = []
    for entry in entries[:HEADER_BATCH]:
        began = time.monotonic()
        found = _headers(source, entry)
        took_s.append(time.monotonic() - began)
        yield found
    rest = entries[HEADER_BATCH:]
    if not rest or median(took_s) < QUICK_S:
        yield from (_headers(source, e) for e in rest)
        return
    batches = [rest[i : i + HEADER_BATCH] for i in range(0, len(rest), HEADER_BATCH)]
    with ThreadPoolExecutor(HEADER_THREADS) as threads:
        yield from chain.from_iterable(threads.map(lambda b: [_headers(source, e) for e in b], batches))


def _single(entry: Entry, pages: Sequence[Header], config: Request) -> int:
    """Number of the first slice of a file that holds the whole stack."""
    if config.minz is not None:
        return config.minz
    digits = "".join(c if c.isdecimal() else " " for c in entry.name).split()
    return int(digits[-1]) if len(pages) == 1 and digits else 0


def _headers(source: Source, entry: Entry) -> list[Header] | Problem:
    if entry.outside:
        return Problem(kind="outside of the source", file=entry.name, detail="a link that leaves the folder")
    if not entry.size_bytes:
        return Problem(kind="zero-byte", file=entry.name)
    try:
        return source.headers(entry)
    except Unreadable as error:
        return Problem(kind="unreadable", file=entry.name, detail=str(error))


def _range(config: Request, seen: set[int | None]) -> range:
    numbers = [z for z in seen if z is not None]
    low = config.minz if config.minz is not None else min(numbers, default=0)
    return range(low, (config.maxz if config.maxz is not None else max(numbers, default=low)) + 1)


def _judge(found: Sequence[Found], config: Request) -> tuple[list[SliceFile], list[Problem]]:
    """Compare every header with what most slices have."""
    if not found:
        return [], []
    common = _most_common([h for *_, h in found])
    alike = accept_sizes([(h.width, h.height) for *_, h in found])
    usable, problems = [], []
    for (z, entry, page, header), fits in zip(found, alike, strict=True):
        problem = _fault(header, entry, common, fits, config)
        if problem is not None:
            problems.append(problem.model_copy(update={"z": z, "file": entry.name}))
        else:
            usable.append(_slice_file(z, entry, page, header))
    return usable, problems


def _most_common(headers: Sequence[Header]) -> Header:
    """What most slices have, each property by itself."""
    width, height = usual_size([(h.width, h.height) for h in headers])
    bits, channels = (
        Counter(v).most_common(1)[0][0] for v in zip(*((h.bits, h.channels) for h in headers), strict=True)
    )
    return Header(width=width, height=height, bits=bits, channels=channels)


def _slice_file(z: int, entry: Entry, page: int, header: Header) -> SliceFile:
    return SliceFile(
        z=z,
        name=entry.name,
        page=page,
        width=header.width,
        height=header.height,
        dtype=BITS[header.bits],
        size_bytes=entry.size_bytes,
        stamp=entry.stamp,
    )


def _fault(header: Header, entry: Entry, common: Header, alike: bool, config: Request) -> Problem | None:
    """The first thing that makes a slice unusable, compared with what most slices have."""
    w, h, pixels = header.width, header.height, header.width * header.height
    bomb = pixels > config.max_pixels or (pixels * header.bits // 8 > BOMB_RATIO * entry.size_bytes and not alike)
    faults: tuple[tuple[bool, ProblemKind, str], ...] = (
        (bomb, "decompression bomb", f"{w} x {h} pixels in {entry.size_bytes} bytes (max_pixels {config.max_pixels})"),
        (header.truncated, "truncated", f"ends after {entry.size_bytes} bytes, before its last pixels"),
        (not alike, "other size", f"{w} x {h}, most are {common.width} x {common.height}"),
        (header.bits not in BITS, "unsupported", "only 8- and 16-bit unsigned grey values can be aligned"),
        (header.bits != common.bits, "other depth", f"{header.bits} bit, most have {common.bits}"),
        (header.channels != common.channels, "other channels", f"{header.channels}, most have {common.channels}"),
    )
    return next((Problem(kind=kind, detail=text) for wrong, kind, text in faults if wrong), None)


def _duplicates(candidates: Sequence[tuple[int | None, Entry]]) -> list[Problem]:
    names: dict[int, list[str]] = {}
    for z, entry in candidates:
        if z is not None:
            names.setdefault(z, []).append(entry.name)
    return [
        Problem(kind="duplicate", z=z, file=files[0], detail=f"also {', '.join(files[1:])}; remove all but one")
        for z, files in names.items()
        if len(files) > 1
    ]


def _missing(wanted: range, seen: set[int], problems: Sequence[Problem]) -> list[Problem]:
    have = seen | {p.z for p in problems}
    return [Problem(kind="missing", z=z) for z in wanted if z not in have]


def _assemble(
    source: Source, usable: Sequence[SliceFile], problems: Sequence[Problem], wanted: range, config: Request
) -> tuple[Plan, tuple[SliceUnit, ...]]:
    size = slices_per_unit(len(usable))
    cuts = [usable[i : i + size] for i in range(0, len(usable), size)]
    units = tuple(SliceUnit(unit=i, slices=tuple(cut)) for i, cut in enumerate(cuts))
    work = FanOut.of(len(units), config.max_parts)
    plan = Plan(
        source=source.url,
        minz=wanted[0],
        maxz=wanted[-1],
        width=max(s.width for s in usable),
        height=max(s.height for s in usable),
        sizes=size_runs([(s.z, (s.width, s.height)) for s in usable]),
        dtype=usable[0].dtype,
        usable=len(usable),
        source_bytes=sum({s.name: s.size_bytes for s in usable}.values()),
        digest=digest([s.model_dump() for s in usable]),
        problems=tuple(sorted(problems, key=lambda p: (p.z is None, p.z or 0, p.kind))),
        unit_slices=size,
        reduce=work,
        match=FanOut.of(0 if config.alignment.skip else len(units), config.max_parts),
        software=software(),
    )
    return plan, units


def _refuse_colour(source: Source, usable: Sequence[SliceFile], channels: int) -> None:
    """Grey slices saved as colour are fine, and only pixels can tell: look at one that is not damaged."""
    if channels == 1:
        return
    faults = []
    for slice_file in usable[:LOOK_AT]:
        try:
            source.decode(slice_file)
        except Undecodable as error:
            faults.append(f"{slice_file.name}: {error}")
        else:
            return
    raise UserError.all("the slices cannot be used:", faults)
