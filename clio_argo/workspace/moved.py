"""Slices that got another z because files came or went, where the order of the names tells the z."""

from collections.abc import Iterable

from clio_argo.model.base import counted
from clio_argo.model.layout import PLAN, slices_name
from clio_argo.model.plan import Plan, SliceFile, SliceUnit
from clio_argo.store.documents import Store, intact


def moved_slices(store: Store, units: Iterable[SliceUnit]) -> str:
    """How many slices of a new plan lie at another z than by the plan that the store still holds; empty if none do."""
    plan = store.intact(Plan, PLAN)
    names = [slices_name(unit) for unit in range(plan.units if plan else 0)]
    known = (intact(SliceUnit, data, name) for name, data in zip(names, store.read_all(names), strict=True))
    before = {_file(s): s.z for unit in known if unit for s in unit.slices}
    moved = [s for unit in units for s in unit.slices if before.get(_file(s), s.z) != s.z]
    if not moved:
        return ""
    first = moved[0]
    return (
        f"order: name: {counted(len(moved), 'slice', 'has', 'have')} another z than before, the first {first.name} "
        f"({before[_file(first)]}, now {first.z}); "
        "overrides, positions and crop.z that were made for the old numbers mean other slices now"
    )


def _file(slice_file: SliceFile) -> tuple[str, int]:
    return slice_file.name, slice_file.page
