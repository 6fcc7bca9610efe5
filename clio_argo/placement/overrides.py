"""Applies manual corrections to pairs and slices. Nothing is matched again."""

from collections.abc import Mapping, Sequence, Set

from clio_argo.errors import UserError
from clio_argo.model.alignment import Matrix, PairFit, PlacedSlice, Transforms
from clio_argo.model.user_inputs import MANUAL, Overrides, SliceOverride
from clio_argo.placement.replacement import place_between


def correct_fits(overrides: Overrides, fits: Sequence[PairFit]) -> list[PairFit]:
    """The fits, with manual ones replacing those of the same pairs, and without those of excluded slices."""
    # Fits of a slice that is called bad stay: perhaps no other fit crosses it, since second neighbours are matched only
    # around suspects. `exclude` removes them, too.
    excluded = {s.z for s in overrides.slices if s.exclude}
    by_pair = {**{(f.z0, f.z1): f for f in fits}, **{p.z: p.fit for p in overrides.pairs}}
    return [_exclude(excluded, fit) for _, fit in sorted(by_pair.items())]


def _exclude(excluded: Set[int], fit: PairFit) -> PairFit:
    numbers = sorted(excluded & {fit.z0, fit.z1})
    return PairFit(z0=fit.z0, z1=fit.z1, reason=f"slice {numbers[0]} is excluded") if numbers else fit


def overrule(overrides: Overrides, transforms: Transforms) -> Transforms:
    """The same transforms with manual verdicts. A good slice that no fit places lies between its neighbours.

    Raises:
        UserError: a slice that does not decode is called good.
    """
    by_z = {s.z: s for s in overrides.slices}
    lost = [f"z {s.z}: {s.reason}" for s in transforms.slices if s.z in by_z and _lacks_pixels(s, by_z[s.z])]
    if lost:
        raise UserError.all(
            "overrides: these slices do not decode and cannot be good or suspect; correct their verdicts:", lost
        )
    good = {s.z: s.matrix for s in transforms.slices if s.matrix and not s.flagged and s.z not in by_z}
    slices = (_overrule(s, by_z[s.z], good) if s.z in by_z else s for s in transforms.slices)
    count = transforms.overrides + len(by_z) + len(overrides.pairs)
    return transforms.model_copy(update={"slices": tuple(slices), "overrides": count})


def _lacks_pixels(placed: PlacedSlice, override: SliceOverride) -> bool:
    return override.verdict in ("good", "suspect") and not placed.digest


def _overrule(placed: PlacedSlice, override: SliceOverride, good: Mapping[int, Matrix]) -> PlacedSlice:
    verdict, reason = override.verdict or "missing", f"{MANUAL}{override.reason}"
    changed = placed.model_copy(update={"verdict": verdict, "reason": reason, "manual": True})
    # without a digest it counts as undecodable, so that even `keep` does not show it
    if override.exclude:
        return changed.model_copy(update={"matrix": None, "digest": ""})
    unplaced = override.verdict != "bad" and not placed.matrix
    return place_between(changed, good) if unplaced and good else changed
