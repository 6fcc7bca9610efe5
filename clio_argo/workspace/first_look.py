"""A first look at files that nobody has described yet: the stack among them, the request that fits, three pictures."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clio_argo.errors import UserError
from clio_argo.kernels.features import STRETCH, area_mean, histogram, percentiles, stretch
from clio_argo.model.base import counted, few, share
from clio_argo.model.numbering import Number
from clio_argo.model.parse_request import build_request
from clio_argo.model.plan import Plan, SliceFile
from clio_argo.model.regions import MAX_Z
from clio_argo.model.request import Request
from clio_argo.model.sizes import describe_sizes
from clio_argo.model.voxel_size import ASSUMED
from clio_argo.model.write_request import commented_request
from clio_argo.store.images.base import Undecodable, Unreadable
from clio_argo.store.slices import Entry
from clio_argo.store.source_url import find_source
from clio_argo.store.sources import open_source
from clio_argo.store.sources.base import StackSource
from clio_argo.store.transfers import is_transfer
from clio_argo.workspace.offers import by_name_line, folder_lines, other_folder_lines, stacks_by_folder, the_stack
from clio_argo.workspace.preflight import Preflight, preflight
from clio_argo.workspace.survey import NumberedFiles, listings, number_files

CHOSEN = "several numbers vary in the names; z was taken for the slice"
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Glimpse:
    """A slice in small, uint8 [y, x] with its grey values stretched; or the reason why there is no picture."""

    z: int
    image: NDArray[np.uint8] | None
    reason: str = ""


@dataclass(frozen=True)
class FirstLook:
    """What files hold, and the request to start from.

    notes: what is to be known of settings, by their dotted names. remarks: what is to be known besides.
    glimpses: the first, middle and last slice.
    """

    request: Request
    checked: Preflight
    notes: Mapping[str, str]
    remarks: Sequence[str]
    glimpses: Sequence[Glimpse]

    @property
    def text(self) -> str:
        """The request as commented YAML."""
        plan = self.checked.plan
        headline = f"Slices: {plan.usable}, {describe_sizes(plan.sizes)}; written by `clio-argo init`."
        return commented_request(self.request, headline, self.notes)


def first_look(given: Settings, largest_px: int) -> FirstLook:
    """Find the stack of a source and the settings that fit it: reads names, headers and three slices, writes nothing.

    given: settings that hold, `id` and `source` among them. largest_px: longest side of a glimpse.

    Raises:
        UserError: there is no stack, or there are several; each is named with the command that chooses it.
    """
    source = open_source(find_source((asked := build_request(given)).source))
    images = [e for entries in listings(source, asked) for e in entries if not is_transfer(e.name)]
    request, checked, axes = _examined(given, source, images)
    slices = [s for unit in checked.units for s in unit.slices]
    shown = dict.fromkeys([slices[0], slices[len(slices) // 2], slices[-1]])
    plan = checked.plan
    # written down, what is assumed would count as known
    voxel_nm = request.resolution if ASSUMED in plan.found["voxel size"] else plan.voxel_nm
    return FirstLook(
        request=request.model_copy(update={**_range(given, images, plan, request), "resolution": voxel_nm}),
        checked=checked,
        notes={**axes, **_notes(checked.plan, request)},
        remarks=_remarks(source.url, images, checked),
        glimpses=[_glimpse(source, s, largest_px) for s in shown],
    )


def _examined(
    given: Settings, source: StackSource, images: Sequence[Entry]
) -> tuple[Request, Preflight, dict[str, str]]:
    """A request that fits the images, what `plan` says of it, and what is to be known of settings that it chooses."""
    request = build_request(given, {"source": source.url})
    named = bool({"image", "image_regex"} & given.keys()) or request.order == "name"
    try:
        checked = preflight(request)
    except UserError as error:
        if axes := {axis: text for axis, text in _axes(source, images).items() if axis not in given}:
            return _chosen({**given, **dict.fromkeys(axes, 0)}, axes, source, images)
        if names := {} if named else the_stack(source.url, images):
            return _chosen({**given, **names}, dict.fromkeys(names.keys() & {"image_regex"}, CHOSEN), source, images)
        folders = [] if images else folder_lines(source.url)
        raise UserError.all(f"{error}{'; folders below it hold images:' if folders else ''}", folders) from error
    pattern = None if named or len(images) == 1 else _pattern(images)
    return request.model_copy(update={"image": pattern or request.image}), checked, {}


def _pattern(images: Sequence[Entry]) -> str | None:
    """The pattern that says what is discovered; None where none does."""
    # names with and without a minus are one stack to discovery only
    with suppress(UserError):
        found = stacks_by_folder(images)
        return found[0][1].settings.get("image") if len(found) == 1 else None
    return None


def _chosen(
    given: Settings, notes: dict[str, str], source: StackSource, images: Sequence[Entry]
) -> tuple[Request, Preflight, dict[str, str]]:
    request, checked, more = _examined(given, source, images)
    return request, checked, {**notes, **more}


def _axes(source: StackSource, images: Sequence[Entry]) -> dict[str, str]:
    """The axis of which one is read, if the first file holds several times, and their numbers."""
    try:
        headers = source.headers(images[0]) if images else []
    except Unreadable:
        return {}
    # times of one slice each may be slices that are called so
    if len({h.time for h in headers}) == len(headers):
        return {}
    times = sorted({h.time for h in headers})
    return {"time": f"one of {few(list(map(str, times)))}"} if len(times) > 1 else {}


def _notes(plan: Plan, request: Request) -> dict[str, str]:
    bad, allowed = len(plan.unusable), request.allowed_bad(plan.depth)
    accepts = f"; {bad} accepts that" if bad > allowed else ""
    missing = f"{share(bad, plan.depth, 'slice')} missing or unusable{accepts}" if bad else ""
    # settings that few stacks need stand in a request where the files call for them
    offers = {"positions": plan.found.get("positions", ""), "value_window": _value_text(plan)}
    # ends of decimals cannot be given
    steps = plan.step_text if float(plan.z_step).is_integer() else ""
    said = {key: text for key, text in {"minz": steps, "max_bad": missing, **offers}.items() if text}
    return {**said, "resolution": "" if request.resolution else plan.found["voxel size"]}


def _value_text(plan: Plan) -> str:
    return plan.values.plan_text if plan.values and not plan.values.fits else ""


def _range(given: Settings, images: Sequence[Entry], plan: Plan, request: Request) -> dict[str, int]:
    """The first and last number of the stack as the names of the files have it; of pages, their z."""
    numbered = NumberedFiles((), 1, 0)
    # names of files of pages may have no single number
    with suppress(UserError):
        numbered = number_files(request, images)
    files, stack = numbered.files, {"minz": plan.minz, "maxz": plan.maxz}
    ends: dict[str, Number] = {**stack}
    if files and (files[0][0], files[-1][0]) == (plan.minz, plan.maxz):
        ends = {key: z * numbered.step + numbered.rest for key, z in stack.items()}
    # of decimals these are none
    return {key: int(n) for key, n in ends.items() if key not in given and -MAX_Z <= n <= MAX_Z and n == int(n)}


def _remarks(url: str, images: Sequence[Entry], checked: Preflight) -> list[str]:
    slices = [s for unit in checked.units for s in unit.slices]
    taken = {name for s in slices for name in s.files}
    taken |= {p.file or "" for p in checked.plan.problems}
    left_out = [e.name for e in images if e.name not in taken]
    text = f"{counted(len(left_out), 'image', 'is no slice', 'are no slices')} of this stack: {few(left_out)}"
    by_name = [f"most numbers are missing; {by_name_line(url)}"] if checked.plan.is_sparse else []
    # of a single picture the stack may lie beside it, or below
    is_picture = len(images) == checked.plan.usable == 1 and checked.plan.source_kind == "files"
    return ([text] if left_out else []) + by_name + (other_folder_lines(url) if is_picture else [])


def _glimpse(source: StackSource, planned: SliceFile, largest_px: int) -> Glimpse:
    try:
        pixels = source.decode(planned)
    except Undecodable as error:
        return Glimpse(planned.z, None, f"{planned.name}: {error}")
    # a picture that is far longer than wide cannot be reduced so far
    small = area_mean(pixels, -(-max(pixels.shape) // largest_px))[:largest_px, :largest_px]
    return Glimpse(planned.z, stretch(small, percentiles(histogram(small), (STRETCH, 1 - STRETCH))))
