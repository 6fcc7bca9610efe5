"""The way that a file takes through the program, in a process of its own, and what another reader makes of it.

A file becomes pictures, as `plan` and `reduce` read them, or is refused in words. `Door.law` says what else happened.
"""

import io
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from clio_argo.errors import UserError
from clio_argo.model.plan import SliceFile
from clio_argo.model.values import READ, ValueMap
from clio_argo.store.images.base import Header, Undecodable, Unreadable
from clio_argo.store.images.orientation import upright
from clio_argo.store.images.tiff_pages import orientation
from clio_argo.store.slices import Entry, Source
from clio_argo.workspace.survey import BOMB_RATIO

# the law: CPU seconds of a small file, and bytes beyond four times the larger of file and picture, which libraries
# take when they are first used
MOST_S, PLANES, BESIDE_BYTES = 2.0, 4, 48 * 2**20
# of a picture that is decoded here; address space, so that what runs away ends
MOST_PX, ROOM_BYTES = 2**24, 2**31
# by the clock, of a machine that does something else, too
HANG_S = 60.0
SAID = "said"


@dataclass(frozen=True)
class Answer:
    """What became of a file.

    kind: "picture", "suspect" or "refused".
    words: the reason of a refusal or of a suspicion.
    broken: what breaks the law; empty if nothing does.
    """

    kind: str = "picture"
    words: str = ""
    broken: str = ""
    cpu_s: float = 0.0
    peak_bytes: int = 0


Picture = tuple[int, Header, np.ndarray]
"""Number of a page, its header and its grey pixels."""


class Door:
    """A process that reads files, and is started again when one of them ends it."""

    def __init__(self, folder: Path) -> None:
        self._process: Any = None
        self._folder, self._said = folder, folder / SAID

    def ask(self, data: bytes) -> Answer:
        """What becomes of a file with these bytes."""
        if self._process is None:
            spawn = multiprocessing.get_context("spawn")
            self._pipe, theirs = spawn.Pipe()
            self._process = spawn.Process(target=serve, args=(theirs, self._folder), daemon=True)
            self._process.start()
            theirs.close()
        self._pipe.send_bytes(data)
        answer = self._answer()
        # a reader that is not ours may end as it likes
        other = self._answer(of_ours=False)
        return replace(answer, broken=answer.broken or other.broken)

    def _answer(self, of_ours: bool = True) -> Answer:
        if self._process is None:
            return Answer()
        try:
            if self._pipe.poll(HANG_S):
                answer: Answer = self._pipe.recv()
                return answer
            broken = f"no answer in {HANG_S} s"
        except (EOFError, OSError):
            self._process.join()
            broken = f"ended with {self._process.exitcode}: {self._said.read_text()[-2000:]}"
        self.close()
        return Answer(broken=broken if of_ours else "")

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


@contextmanager
def opened() -> Iterator[Door]:
    """A door that is closed in the end."""
    with tempfile.TemporaryDirectory() as folder:
        door = Door(Path(folder))
        try:
            yield door
        finally:
            door.close()


def serve(pipe: Connection, folder: Path) -> None:
    """Answer for each file twice: of the way through the program, and of how another reader sees it."""
    os.dup2(os.open(folder / SAID, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND), 2)
    in_use = resident()["VmSize"]
    resource.setrlimit(resource.RLIMIT_AS, (in_use + ROOM_BYTES, in_use + ROOM_BYTES))
    source = folder / "source"
    source.mkdir(exist_ok=True)
    with suppress(EOFError):
        while True:
            data = pipe.recv_bytes()
            answer, pictures = through(source, data)
            pipe.send(answer)
            pipe.send(replace(answer, broken=disagreement(data, pictures if answer.kind != "suspect" else [])))


def resident() -> dict[str, int]:
    """Bytes of memory of this process, by the names of Linux."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {words[0][:-1]: int(words[1]) * 1024 for words in lines if words[-1] == "kB"}


def through(folder: Path, data: bytes) -> tuple[Answer, list[Picture]]:
    """What becomes of a file on its way from `plan` to `reduce`, and its pictures."""
    (folder / "slice.tif").write_bytes(data)
    Path("/proc/self/clear_refs").write_text("5")  # peak memory counts from here
    before, began, pictures, answer = resident()["VmRSS"], time.process_time(), list[Picture](), Answer()
    try:
        for page, header, pixels, warning in pages(folder):
            pictures.append((page, header, pixels))
            answer = Answer("suspect", warning) if warning else answer
    except (Unreadable, Undecodable, UserError) as error:
        answer = Answer("refused", str(error), "" if str(error).strip() else "refused without a word")
    spent, peak = time.process_time() - began, resident()["VmHWM"] - before
    size = max([len(data), *(h.channels * p.nbytes for _, h, p in pictures)])
    if spent > MOST_S:
        answer = replace(answer, broken=f"{spent:.1f} s of CPU time")
    elif peak > PLANES * size + BESIDE_BYTES:
        answer = replace(answer, broken=f"{peak >> 20} MiB for {size} bytes")
    return replace(answer, cpu_s=spent, peak_bytes=peak), pictures


def pages(folder: Path) -> Iterator[tuple[int, Header, np.ndarray, str]]:
    """First, middle and last page of a file, each with what its decoder said. Raises as the program does."""
    source = Source(str(folder))
    [entry] = source.entries()
    headers = source.headers(entry)
    for page in sorted({0, len(headers) // 2, len(headers) - 1}):
        header = headers[page]
        refuse(header, entry)
        place = SliceFile(
            z=0, name=entry.name, page=page, offset=header.offset, width=header.width, height=header.height,
            dtype=READ[header.sample_type], values=ValueMap.of(header.sample_type),
            size_bytes=entry.size_bytes, stamp=entry.stamp,
        )  # fmt: skip
        yield page, header, *source.samples(place)


def refuse(header: Header, entry: Entry) -> None:
    """Refuse what `plan` refuses by a header alone."""
    pixels = header.width * header.height
    if header.truncated or header.sample_type not in READ:
        raise Unreadable("truncated, or no grey values")
    if pixels > MOST_PX or pixels * np.dtype(header.sample_type).itemsize > BOMB_RATIO * entry.size_bytes:
        raise Unreadable("a decompression bomb")


# --- another reader -----------------------------------------------------------------------------------------

# grey levels by which decoders of JPEG differ
JPEG_LEVELS = 3
# bytes of a file: others take minutes for thousands of pages
MOST_OF_OTHERS = 2**18


def disagreement(data: bytes, pictures: list[Picture]) -> str:
    """How other readers see pictures otherwise; empty if one sees them alike, or none accepts the file."""
    for page, header, pixels in pictures if len(data) < MOST_OF_OTHERS else []:
        seen = list(others(data, page, header))
        if seen and not any(alike(pixels, s, JPEG_LEVELS if b"\xff\xd8" in data else 0) for s in seen):
            shapes = ", ".join(f"{s.dtype} {s.shape}" for s in seen)
            return f"page {page}: {pixels.dtype} {pixels.shape} differs from {shapes} of other readers"
        if not seen:
            return f"page {page}: a picture that no other reader accepts"
    return ""


def others(data: bytes, page: int, header: Header) -> Iterator[np.ndarray]:
    """What Pillow, and tifffile for its formats, make of a page."""
    # not imported by the process that only sends files
    from PIL import Image, ImageOps

    with suppress(Exception), Image.open(io.BytesIO(data)) as image:
        Image.MAX_IMAGE_PIXELS = None
        if image.format == "TIFF":
            seek(image, header.offset)
        image.load()
        yield np.asarray(plain(ImageOps.exif_transpose(image)))
    with suppress(Exception):
        yield from by_tifffile(data, page, header)
    with suppress(Exception):
        yield from by_numpy(data, page, header) if header.format == "DAT" else by_mrcfile(data, page)


def by_numpy(data: bytes, page: int, header: Header) -> Iterator[np.ndarray]:
    """Samples of a `.dat` file: all detectors at a pixel beside each other, behind 1024 bytes."""
    kind = np.dtype(header.sample_type).newbyteorder(">")
    detectors, pixels = data[32], header.width * header.height
    yield np.frombuffer(data, kind, pixels * detectors, 1024).reshape(header.height, -1, detectors)[..., page]


def by_mrcfile(data: bytes, page: int) -> Iterator[np.ndarray]:
    """The lowest row is the last one; bytes without a flag may have either sign."""
    import mrcfile.mrcinterpreter

    with mrcfile.mrcinterpreter.MrcInterpreter(io.BytesIO(data), permissive=True) as read:
        plane = (read.data if read.data.ndim == 3 else read.data[None])[page, ::-1]
        yield from (plane, plane.view(np.uint8) if plane.dtype == np.int8 else plane)


def seek(image: Any, offset: int) -> None:
    for frame in range(image.n_frames):
        image.seek(frame)
        if image._frame_pos[frame] == offset:
            return
    raise EOFError


def plain(image: Any) -> Any:
    """Without a palette, and with one channel where others hold nothing more."""
    image = image.convert("RGB") if image.mode in "P1" else image
    channels = np.asarray(image)
    is_grey = channels.ndim == 3 and all(np.array_equal(channels[..., 0], c) for c in np.moveaxis(channels, 2, 0)[1:3])
    return image.getchannel(0) if is_grey or image.mode == "LA" else image


def by_tifffile(data: bytes, page: int, header: Header) -> Iterator[np.ndarray]:
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        tiff.filehandle.seek(header.offset)
        read = tifffile.TiffPage(tiff, page)
        if read.compression == 1 and len(read.dataoffsets) == 1:
            read.databytecounts = (len(data) - read.dataoffsets[0],)
        read.rowsperstrip = read.rowsperstrip or read.imagelength
        found = read.asarray()
        found = found.take(0, -1 if read.axes == "YXS" else 0) if found.ndim == 3 else found
        # of few bits, as Pillow spreads them
        found = upright(found, orientation(read)) * np.uint8({2: 85, 4: 17}.get(read.bitspersample, 1))
        yield from (found, inverse(found))
        if read.photometric == 3 and read.colormap is not None:
            levels = read.colormap[0][found]
            yield from (levels, levels.astype(np.uint8), (levels >> 8).astype(np.uint8))
        # of a stack behind one header
        tiff.filehandle.seek(read.dataoffsets[0] + page * found.nbytes)
        plane = tiff.filehandle.read_array(tiff.byteorder + found.dtype.char, found.size).reshape(found.shape)
        yield from (plane, inverse(plane))


def inverse(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.dtype.kind == "f" else (np.iinfo(pixels.dtype).max - pixels).astype(pixels.dtype)


def alike(ours: np.ndarray, theirs: np.ndarray, levels: int) -> bool:
    """Whether pictures differ by so many grey levels at most."""
    if ours.dtype.kind == "f":
        return np.array_equal(ours, theirs, equal_nan=True)
    if ours.itemsize > theirs.itemsize:
        ours = (ours >> 8).astype(np.uint8)
    return ours.shape == theirs.shape and bool((np.abs(ours.astype(int) - theirs.astype(int)) <= levels).all())
