"""Slices that got another z, or went, since the plan of an earlier attempt."""

from collections.abc import Iterable

from clio_argo.model.base import counted
from clio_argo.model.layout import CONFIG, PLAN, slices_name
from clio_argo.model.plan import Plan, SliceFile, SliceUnit
from clio_argo.model.request import Request
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


def lost_ends(store: Store, request: Request, plan: Plan) -> str:
    """What a stack has lost at its ends since the plan of this request that the store still holds; empty if nothing.

    request: the new one, resolved. Slices that are missing between others are problems of the plan.
    """
    before, owner = store.intact(Plan, PLAN), store.intact(Request, CONFIG)
    if not before or not owner or owner.identity() != request.identity():
        return ""
    lost = max(0, plan.minz - before.minz) + max(0, before.maxz - plan.maxz)
    if not lost:
        return ""
    return (
        f"the stack was z {before.minz} to {before.maxz} before and is z {plan.minz} to {plan.maxz} now: files of "
        f"{counted(lost, 'slice')} at its ends are gone from {plan.source}, and the volume will end there"
    )


def _file(slice_file: SliceFile) -> tuple[str, int]:
    return slice_file.name, slice_file.page
