"""What a plan took from the files of a stack, in words; in numbers it is in the plan's other fields."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set

from clio_argo.errors import printable
from clio_argo.model.base import counted, few
from clio_argo.model.name_order import natural_key
from clio_argo.model.plan import Plan
from clio_argo.model.request import FROM_FILES, Request
from clio_argo.model.voxel_size import Told, in_nm, voxel_size
from clio_argo.store.documents import Store
from clio_argo.store.images.base import Header
from clio_argo.store.slices import RAW, Entry
from clio_argo.store.sources.base import StackSource
from clio_argo.workspace.stage import stage_text

# of formats that lie beside the slices
MOST_KINDS = 5
Used = Sequence[tuple[str, Header]]
"""Name of the file and header of each usable slice, in order of z."""


def ignored(source: StackSource, entries: Sequence[Entry], taken: Set[str]) -> list[str]:
    """Files beside the slices, whose names are `taken`."""
    others = [printable(e.name) for e in entries if e.name not in taken]
    text = f"{counted(len(others), 'file')} beside the slices, or beyond minz and maxz ({few(others, 3)})"
    folder = Store(source.url).local
    # another listing costs nothing on a disk
    beside = source.unread()[:MOST_KINDS] if folder is not None and folder.is_dir() else []
    return [*([text] if others else []), *beside]


def with_facts(plan: Plan, request: Request, used: Used, left_out: Sequence[str], channels: str) -> Plan:
    """The plan with what was taken from the files.

    left_out: what else was ignored. channels: what is said of those.
    """
    of_file = dict(reversed(used))
    told = {n: Told(h.voxel_nm, h.voxel_by or h.format or plan.source_kind) for n, h in used if h.voxel_nm[0]}
    voxel = voxel_size(request.resolution, told)
    in_order = f"places in the natural order of the names, from {request.minz or 0} (order: name)"
    found = {
        "format": _most([", ".join(filter(None, (h.format, h.compression))) for h in of_file.values()]),
        "samples": _most([_samples(h) for h in of_file.values()]),
        "channels": channels,
        "pages": _pages(used, len(of_file)),
        "folders": _folders(of_file),
        "values": plan.values.plan_text if plan.values else "",
        "voxel size": voxel.text,
        "numbers": plan.step_text or (in_order if request.order == "name" else ""),
        "positions": stage_text([h.stage_nm for _, h in used], request.positions == FROM_FILES),
        "ignored": "; ".join([*left_out, *_previews(of_file), *_implausible(told)]),
    }
    said = {name: text for name, text in found.items() if text}
    judged = {"warnings": voxel.warnings, "faults": voxel.faults}
    return plan.model_copy(update={"voxel_nm": voxel.nm, "found": said, **judged})


def _most(texts: Sequence[str]) -> str:
    """A text that all files share, or the most frequent ones with the number of files of each."""
    counts = Counter(texts).most_common()
    return counts[0][0] if len(counts) == 1 else few([f"{text} ({counted(n, 'file')})" for text, n in counts])


def _folders(names: Iterable[str]) -> str:
    folders = {name.rpartition("/")[0] for name in names} - {"", RAW.rstrip("/")}
    return f"{len(folders)} taken together ({few(sorted(folders, key=natural_key), 3)})" if folders else ""


def _samples(header: Header) -> str:
    several = f", {header.channels} samples a pixel" if header.channels > 1 else ""
    return f"{header.sample_type}{several}"


def _pages(used: Used, files: int) -> str:
    chosen = {
        (h.channel, h.channel_name, h.time) for _, h in used if (h.channel or h.time or h.channel_name) and not h.names
    }
    text = f"{len(used)} in {counted(files, 'file')}" if len(used) > files else "one a file"
    return text + "".join(f", channel {c}{f' ({name})' if name else ''}, time {t}" for c, name, t in sorted(chosen))


def _previews(files: Mapping[str, Header]) -> list[str]:
    pages, where = sum(h.previews for h in files.values()), sum(h.previews > 0 for h in files.values())
    return [f"{counted(pages, 'page')} of previews or masks within {counted(where, 'file')}"] if pages else []


def _implausible(told: dict[str, Told]) -> list[str]:
    wrong = [(name, t) for name, t in told.items() if not t.is_plausible]
    return (
        [f"{wrong[0][1].by} of {in_nm(wrong[0][1].nm)} in {counted(len(wrong), 'file')}: no size of a voxel"]
        if wrong
        else []
    )
