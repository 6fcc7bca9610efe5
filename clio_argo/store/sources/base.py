"""What a kind of source is: what the rest of the program asks of a stack, wherever and however it is stored."""

from collections.abc import Iterable
from typing import Any, Protocol

from numpy.typing import NDArray

from clio_argo.model.plan import SliceFile
from clio_argo.store.grey_values import Decoded
from clio_argo.store.images.base import Header, Pixels
from clio_argo.store.slices import Entry, Together


class StackSource(Protocol):
    """A stack that can be read slice by slice; several processes read one at the same time.

    url: where it is, as `plan.json` keeps it.
    """

    url: str

    def entries(self, folder: str = "") -> list[Entry]:
        """What holds slices directly in `folder`, by name: a file each, or one entry for a whole volume.

        The stamp of an entry changes whenever any of its slices may have changed.
        """

    def below(self) -> list[Entry]:
        """The same in the folders directly below."""

    def unread(self) -> list[str]:
        """What else lies there, of formats that are not read, and what to do with it."""

    def headers(self, entry: Entry) -> list[Header]:
        """Headers of all slices of an entry, in the order of their pages. Raises `Unreadable`."""

    def samples(self, slice_file: SliceFile) -> tuple[NDArray[Any], str]:
        """Grey values [y, x] of one slice, in the type that the source has, and what is in doubt about them.

        Raises `Undecodable`: it is gone, damaged, or of another size or type than was planned.
        """

    def decode_heard(self, slice_file: SliceFile, channel: int | None = None) -> Decoded:
        """Grey values of one slice, as planned, and what is in doubt about them. Raises `Undecodable`.

        channel: number of one of its channels; None: what is aligned.
        """

    def decode(self, slice_file: SliceFile) -> Pixels:
        """Grey pixels [y, x] of one slice, as planned. Raises `Undecodable`."""

    def refuse_changed(self, slice_file: SliceFile) -> None:
        """Raise `Undecodable` if the slice is not the one that was planned, as far as one request tells."""

    def expect(self, files: Iterable[SliceFile]) -> None:
        """Slices that are decoded next, in this order, so that reading one may begin while another is decoded."""

    def hold(self, what: object, room_bytes: int) -> None:
        """Keep pictures, besides the last one, for their other channels; those that were kept for something else go."""

    def together(self, memory_bytes: int, entries: Iterable[Entry]) -> Together:
        """How many neighbouring slices of these entries are best read together in this memory; at least one."""
