"""Turns slices back that lie turned by quarters or mirrored among others, and says so where a whole part does."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

import numpy as np

from clio_argo.kernels.orientation import UPRIGHT, Orientation, in_words, nearest_orientation, orientation_matrix
from clio_argo.model.alignment import IDENTITY, Break, Floats, PairFit, homogeneous, to_matrix
from clio_argo.model.plan import Remark
from clio_argo.placement.verdicts import REACH

Turned = Mapping[int, Orientation]
"""Orientations of slices by z: what turns their pixels as those of most slices lie."""


def turned_slices(fits: Sequence[PairFit]) -> Turned:
    """The slices to turn back: at most three in a row between upright ones, with all fits of one mind.

    Longer rows may as well be right and the rest turned: they are breaks.
    """
    if not any(f.turned for f in fits):
        return {}
    found = sorted((f for f in fits if f.matrix or f.turned), key=lambda f: (f.z1, f.z0))
    lies: dict[int, Orientation] = {}
    for f in found:
        lies[f.z1] = lies.setdefault(f.z0, UPRIGHT).dot(_relative(f))
    common, count = Counter(o.tobytes() for o in lies.values()).most_common(1)[0]
    if 2 * count <= len(lies):
        return {}
    rows = [(key, list(row)) for key, row in groupby(sorted(lies), lambda z: lies[z].tobytes())]
    enclosed = (row for (a, _), (b, row), (c, _) in zip(rows, rows[1:], rows[2:], strict=False) if a == c == common)
    to_common = np.linalg.inv(np.frombuffer(common, int).reshape(2, 2)).astype(int)
    return {
        z: to_common.dot(lies[z]) for row in enclosed if len(row) <= REACH and _agreed(found, lies, row) for z in row
    }


def _relative(fit: PairFit) -> Orientation:
    """How the upper slice of a fit lies against the lower one, [2, 2]."""
    return nearest_orientation(fit.matrix or fit.turned or IDENTITY)


def _agreed(fits: Iterable[PairFit], lies: Turned, row: Sequence[int]) -> bool:
    """Whether fits reach a row of slices from both sides, and all say how it lies."""
    reaching = [f for f in fits if (f.z0 in row) != (f.z1 in row)]
    same = (np.array_equal(lies[f.z1], lies[f.z0].dot(_relative(f))) for f in reaching)
    return len({f.z0 in row for f in reaching}) == 2 and all(same)


def accept_turned(fits: Sequence[PairFit], turned: Turned) -> list[PairFit]:
    """The fits, those of slices that are turned back as found."""
    return [f.model_copy(update={"matrix": f.turned, "reason": ""})
            if f.turned and (f.z0 in turned) != (f.z1 in turned) else f for f in fits]  # fmt: skip


def upright(fits: Sequence[PairFit], turned: Turned, width: int, height: int) -> list[PairFit]:
    """Accepted fits as they are between slices that are turned back; width, height: of slices in pixels."""
    back = backward(turned, width, height)
    return [_between(f, back) if f.matched and (f.z0 in back or f.z1 in back) else f for f in fits]


def _between(fit: PairFit, back: Mapping[int, Floats]) -> PairFit:
    """The fit between slices that are turned back by `back`, matrices [3, 3] by z."""
    fixed, moving = (back.get(z, np.eye(3)) for z in (fit.z0, fit.z1))
    matrix = to_matrix(fixed @ homogeneous(fit.matrix or IDENTITY) @ np.linalg.inv(moving))
    # the other slice may lie as this one did, and stay so
    lies_upright = np.array_equal(nearest_orientation(matrix), UPRIGHT)
    return fit.model_copy(update={"matrix": matrix} if lies_upright else {"matrix": None, "turned": matrix})


def backward(turned: Turned, width: int, height: int) -> dict[int, Floats]:
    """Matrices [3, 3] that turn the pixels of slices back, by z."""
    return {z: homogeneous(orientation_matrix(o, width, height)) for z, o in turned.items()}


def remark_turned(remarks: Mapping[int, Remark], turned: Turned) -> dict[int, Remark]:
    """The remarks, with those on slices that are turned back."""
    plain = {z: remarks.get(z, Remark(z=z, verdict="suspect", reason="")) for z in turned}
    said = {z: "; ".join(filter(None, (in_words(o), plain[z].reason))) for z, o in turned.items()}
    return {**remarks, **{z: r.model_copy(update={"reason": said[z]}) for z, r in plain.items()}}


def explain(breaks: Iterable[Break], fits: Sequence[PairFit]) -> tuple[Break, ...]:
    """The breaks, with what the fits across them say."""
    return tuple(b.model_copy(update={"reason": _turn_at(b, fits)}) for b in breaks)


def _turn_at(at: Break, fits: Sequence[PairFit]) -> str:
    across = [f for f in fits if f.turned and not f.matched and f.z0 <= at.below and f.z1 >= at.above]
    nearest = min(across, key=lambda f: f.z1 - f.z0, default=None)
    return f"{in_words(_relative(nearest))} from z {at.above} on" if nearest else ""
