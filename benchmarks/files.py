"""What files of many slices cost, however they hold them: to plan, to decode their slices, to read these by ranges."""

import json
import os
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from benchmarks.figures import Figure
from benchmarks.machine import SIDE_PX, png_mb_s
from benchmarks.measure import python
from benchmarks.sources import real_volume
from benchmarks.stacks import mosaic_slice
from clio_argo.model.request import Request
from clio_argo.store.documents import Store
from clio_argo.store.slices import Source
from clio_argo.workspace.survey import survey
from tests.store.images.test_tiff_stacks import one_header
from tests.stores import GCS, Bucket, Server, serve

# of the BigTIFF: only its directories count. Of the ImageJ file, which is sparse.
SMALL_PX, PLANE_PX = 64, 2000
PAGES: dict[str, dict[str, Any]] = {
    "pages of a TIFF": {}, "deflated pages of a TIFF": {"compression": "zlib"},
    "tiled pages of a TIFF": {"tile": (256, 256)},
}  # fmt: skip
ONE_HEADER, PNG = "planes behind one header of ImageJ", "PNG files"
# planning, in PNG slices that are decoded meanwhile; reading each byte once, with headers and buffers
IMAGEJ_LIMIT, PAGES_LIMIT, ONCE = 2, 30, 1.25
# bytes of a slice in a bucket, with 64 kB of headers twice; requests: header, directory, and pixels in two
FROM_BUCKET, REQUESTS_LIMIT = 1.5, 6
# a header and an end mark, and twice of the first two files, which may be stacks
PLAN_REQUESTS = 2.2
# In fresh processes. CPU seconds without imports, bytes read, slices found.
PLAN = """
import json, sys, time
import tifffile
from clio_argo.model.request import Request
from clio_argo.workspace.survey import survey
def read(): return int(open("/proc/self/io").read().split()[1])
began, before = time.process_time(), read()
plan, *_ = survey(Request(id="benchmark", source=sys.argv[1]))
print(json.dumps([time.process_time() - began, read() - before, plan.usable]))
"""
# peaks in bytes after two slices and after all; bytes read for each, and those of its pixels
DECODE = """
import json, re, sys
from pathlib import Path
from clio_argo.model.request import Request
from clio_argo.store.slices import Source
from clio_argo.workspace.survey import survey
# of this program alone: ru_maxrss begins with that of the process that started it
def peak(): return 1024 * int(re.search(r"VmHWM:[^0-9]*([0-9]+)", Path("/proc/self/status").read_text())[1])
def read(): return int(open("/proc/self/io").read().split()[1])
plan, units, _ = survey(Request(id="benchmark", source=sys.argv[1]))
source, slices = Source(plan.source), [s for unit in units for s in unit.slices]
for s in slices[:2]:
    source.decode(s)
first, before = peak(), read()
for s in slices[2:]:
    source.decode(s)
print(json.dumps([first, peak(), (read() - before) / len(slices[2:]), s.width * s.height]))
"""


def measure(work: Path, quick: bool) -> list[Figure]:
    """Planning of long files; memory and bytes of their slices; requests where they lie in a bucket."""
    slice_s = SIDE_PX**2 / 1e6 / png_mb_s(1000 if quick else SIDE_PX)
    side, count, planes, pages = (512, 32, 100, 1_000) if quick else (2048, 48, 2_500, 20_000)
    volume = real_volume()
    sources = _written(work, np.stack([mosaic_slice(volume, side, z % len(volume)) for z in range(count)]))
    return [
        *_planned(_imagej(work, planes), f"an ImageJ file of {planes:,} planes", slice_s, IMAGEJ_LIMIT),
        *_planned(_paged(work, pages), f"a BigTIFF of {pages:,} pages", slice_s, PAGES_LIMIT),
        *(figure for kind, source in sources.items() for figure in _decoded(kind, source)),
        *(figure for kind, source in sources.items() for figure in _requested(kind, source)),
    ]


def _imagej(work: Path, planes: int) -> Path:
    """Planes of 4 MB behind one header, as Fiji writes above 4 GB; sparse."""
    file, head = work / "imagej.tif", one_header(planes, (PLANE_PX, PLANE_PX), 8)
    with file.open("wb") as out:
        out.write(head)
        out.truncate(len(head) + planes * PLANE_PX**2)
    return file


def _paged(work: Path, pages: int) -> Path:
    """A BigTIFF of small pages, each with a directory beside its pixels."""
    _pages(work / "pages.tif", np.zeros((pages, SMALL_PX, SMALL_PX), np.uint8), bigtiff=True)
    return work / "pages.tif"


def _pages(file: Path, stack: NDArray[np.uint8], bigtiff: bool = False, **options: Any) -> None:
    with tifffile.TiffWriter(file, bigtiff=bigtiff) as out:
        for plane in stack:
            out.write(plane, contiguous=False, metadata=None, **options)


def _written(work: Path, stack: NDArray[np.uint8]) -> dict[str, Path]:
    """Sources that hold a stack [z, y, x], by what holds a slice."""
    (work / "png").mkdir()
    for z, plane in enumerate(stack):
        cv2.imwrite(str(work / "png" / f"{z:04d}.png"), plane)
    sources = {PNG: work / "png"}
    for kind, options in PAGES.items():
        sources[kind] = work / f"{kind}.tif"
        _pages(sources[kind], stack, **options)
    sources[ONE_HEADER] = work / "one header.tif"
    sources[ONE_HEADER].write_bytes(one_header(len(stack), (stack.shape[1], stack.shape[2]), 8) + stack.tobytes())
    return sources


def _planned(file: Path, what: str, slice_s: float, limit: float) -> list[Figure]:
    cpu_s, read, usable = json.loads(python("-c", PLAN, file))
    size = file.stat().st_size
    note = f"{cpu_s:.2f} CPU s, {usable:,} slices, {size / 1e9:.2g} GB"
    return [
        Figure(f"plan of {what}, in PNG slices of {SIDE_PX} x {SIDE_PX}", cpu_s / slice_s, "", limit, note=note),
        Figure(f"plan of {what}: bytes read, of the whole file", read / size, "", ONCE, note="1: each page once"),
    ]


def _decoded(kind: str, source: Path) -> list[Figure]:
    first, last, read, plane = json.loads(python("-c", DECODE, source))
    note = f"{first / 2**20:.0f} MiB with two slices, {last / 2**20:.0f} with all"
    return [
        Figure(
            f"{kind}: memory of all beyond that of two, in planes", max(0.0, last - first) / plane, "", 1, note=note
        ),
        Figure(f"{kind}: bytes read for a slice, of its pixels", read / plane, "", ONCE),
    ]


def _requested(kind: str, source: Path) -> list[Figure]:
    """What planning asks of a bucket for each slice, and what the last part asks for each of its own."""
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    with serve("gs", str(GCS)) as server:
        os.environ.update(server.variables)
        root = f"{Bucket(server, 'benchmark').make().url}/slices"
        for file in files:
            Store(root).write(file.name, file.read_bytes())
        before = len(_bytes(server, files))
        plan, units, _ = survey(Request(id="benchmark", source=root if source.is_dir() else f"{root}/{source.name}"))
        planned = _bytes(server, files)[before:]
        slices = units[-1].slices
        for one in slices:
            Source(plan.source).decode(one)
        read = _bytes(server, files)[before + len(planned) :]
    pixels = len(slices) * slices[0].width * slices[0].height
    note = f"{len(slices)} of {plan.usable} slices"
    return [
        Figure(f"{kind} in a bucket: requests to plan one", len(planned) / plan.usable, "", PLAN_REQUESTS),
        Figure(f"{kind} in a bucket: bytes to plan one", sum(planned) / plan.usable / 1000, "kB", 70),
        Figure(f"{kind} in a bucket: requests for a slice", len(read) / len(slices), "", REQUESTS_LIMIT, note=note),
        Figure(f"{kind} in a bucket: bytes for a slice, of its pixels", sum(read) / pixels, "", FROM_BUCKET, note=note),
    ]


def _bytes(server: Server, files: list[Path]) -> list[int]:
    """Bytes of each read of an object so far; 0 where none of the files was asked for."""
    sizes = {file.name.replace(" ", "%20"): file.stat().st_size for file in files}
    with urlopen(f"{server.endpoint}/_log") as answer:
        reads = [(path, span) for _, verb, path, span in json.load(answer) if verb == "GET" and "alt=media" in path]
    named = ((span, next((size for n, size in sizes.items() if f"{n}?" in path), 0)) for path, span in reads)
    return [_length(span, size) if size else 0 for span, size in named]


def _length(span: str | None, size: int) -> int:
    begin, end = (int(n) for n in span.partition("=")[2].split("-")) if span else (0, size - 1)
    return end - begin + 1
