"""Reads the fits of pairs that `match` and `rematch` wrote."""

from collections.abc import Sequence

from clio_argo.model.alignment import Fits, PairFit
from clio_argo.model.layout import fits_name, refits_name
from clio_argo.workspace.run import Run


def read_first_fits(run: Run) -> list[PairFit] | None:
    """Fits of `match`; None where alignment is skipped."""
    if not run.plan.match.units:
        return None
    return _read(run, [fits_name(u) for u in range(run.plan.match.units)])


def read_fits(run: Run) -> list[PairFit] | None:
    """Fits of `match` and `rematch`; None where alignment is skipped."""
    first = read_first_fits(run)
    if first is None:
        return None
    return first + _read(run, [refits_name(r.unit) for r in run.suspects.rematch_units])


def _read(run: Run, names: Sequence[str]) -> list[PairFit]:
    return [fit for fits in run.store.documents(Fits, names) for fit in fits.fits]
