"""What the channels of a slice hold, besides what is aligned: their digests, faults and histograms."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels.features import histogram
from clio_argo.model.plan import SliceFile
from clio_argo.store.grey_values import Decoded
from clio_argo.store.images.base import Undecodable
from clio_argo.workspace.run import Run

# between the digests of channels; that of one which does not decode is empty
BETWEEN = "-"


class MeasuredChannels(NamedTuple):
    """What all channels of a slice hold.

    digest: of each channel, joined; of a slice with one channel its own.
    faults: why channels do not decode, by name.
    warnings: what decoders said of damage, of all channels.
    histograms: pixels by [channel, grey value], of 16 bits; None where nobody needs them.
    """

    digest: str
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    histograms: NDArray[np.int64] | None = None


def measure_channels(run: Run, slice_file: SliceFile, aligned: Decoded) -> MeasuredChannels:
    """Decode all channels of a slice one by one.

    aligned: what is aligned, which need not be decoded again if it is one of them.
    """
    if not run.plan.channels:
        return MeasuredChannels(aligned.digest)
    digests, faults, warnings = list[str](), list[str](), list[str]()
    wide = slice_file.dtype == "uint16"
    counts = np.zeros((len(run.plan.channels), 65536 if wide else 0), np.int64)
    for number, channel in enumerate(run.plan.channels):
        try:
            decoded = aligned if slice_file.aligned == (number,) else _decoded(run, slice_file, number)
        except Undecodable as error:
            faults.append(f"channel {channel.name}: {error}")
            digests.append("")
            continue
        digests.append(decoded.digest)
        warnings += [f"channel {channel.name}: {decoded.warning}"] * bool(decoded.warning)
        if wide:
            counts[number] = histogram(decoded.pixels)
    return MeasuredChannels(BETWEEN.join(digests), tuple(faults), tuple(warnings), counts if wide else None)


def _decoded(run: Run, slice_file: SliceFile, number: int) -> Decoded:
    """A channel of a slice. Raises `Undecodable`, also if its file is not the one that was planned."""
    decoded, own = run.source.decode_heard(slice_file, number), slice_file.at(number)
    # the file of what is aligned is looked at once
    if own.name != slice_file.name:
        run.source.refuse_changed(own)
    return decoded
