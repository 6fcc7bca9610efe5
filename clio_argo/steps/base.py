"""What every step has in common: the run's documents, its declared settings, and units that are done once."""

import os
import resource
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from clio_argo.errors import BrokenInvariant, Superseded
from clio_argo.model.algorithms import algorithm
from clio_argo.model.alignment import Planes, Transforms
from clio_argo.model.base import digest
from clio_argo.model.config import IngestConfig
from clio_argo.model.plan import Plan, SliceFile, SliceUnit
from clio_argo.model.run import ObjectRecord, UnitRecord
from clio_argo.model.volume import VolumeSpec
from clio_argo.store.documents import Store
from clio_argo.store.manifest import NEW, read_record, read_records, why_again, write_record
from clio_argo.store.volumes import Volumes

if TYPE_CHECKING:
    from clio_argo.store.slices import Source

CONFIG, PLAN, TRANSFORMS, VOLUME, QUALITY, COMPLETE = (
    f"{n}.json" for n in ("config", "plan", "transforms", "volume", "quality", "complete")
)
INSPECTION, REPORT = "inspection.json", "report.html"
Outputs = dict[str, Any]


class Declared:
    """A request of which only the declared settings can be read, so that no step depends on others unseen."""

    def __init__(self, config: IngestConfig, settings: Sequence[str]) -> None:
        self._config, self._settings = config, tuple(settings)

    def __getattr__(self, name: str) -> Any:
        if name not in self._settings:
            raise BrokenInvariant(f"the step reads the setting {name!r} without declaring it")
        return getattr(self._config, name)


def opened(url: str) -> Store:
    """The store of a run, as its request lays it out; a root that holds no request yet has all in one place."""
    found = Store(url).intact(IngestConfig, CONFIG)
    return Store(url, found.buckets.elsewhere()) if found else Store(url)


@dataclass(frozen=True)
class Run:
    """One run as one step sees it."""

    store: Store
    step: str
    settings: tuple[str, ...]

    @cached_property
    def request(self) -> IngestConfig:
        return self.store.document(IngestConfig, CONFIG)

    @property
    def config(self) -> IngestConfig:
        """The request, restricted to the settings that the step declares."""
        return cast(IngestConfig, Declared(self.request, self.settings))

    @cached_property
    def settings_digest(self) -> str:
        values = self.request.model_dump(mode="json")
        return digest({name: values[name] for name in self.settings})

    @cached_property
    def plan(self) -> Plan:
        return self.store.document(Plan, PLAN)

    @cached_property
    def transforms(self) -> Transforms:
        return self.store.document(Transforms, TRANSFORMS)

    @cached_property
    def volume(self) -> VolumeSpec:
        return self.store.document(VolumeSpec, VOLUME)

    @cached_property
    def volumes(self) -> Volumes:
        return Volumes(self.store, self.volume)

    @cached_property
    def source(self) -> "Source":
        # decoders of images, which the steps that write volumes do without
        from clio_argo.store.slices import Source

        return Source(self.plan.source)

    def slices(self, unit: int) -> SliceUnit:
        return self.store.document(SliceUnit, slices_name(unit))

    @property
    def all_slices(self) -> Iterator[SliceUnit]:
        return self.store.documents(SliceUnit, [slices_name(u) for u in range(self.plan.units)])

    def planes(self, unit: int) -> Planes:
        return self.store.document(Planes, planes_name(unit))

    def slice_file(self, z: int) -> SliceFile:
        """The usable slice `z`."""
        unit, place = self.place_of(z)
        if unit not in self._units:
            self._units[unit] = self.slices(unit)
        found = self._units[unit].slices[place]
        if found.z != z:
            raise BrokenInvariant(f"slice {z} is not where the plan has it")
        return found

    def place_of(self, z: int) -> tuple[int, int]:
        """Unit of the usable slice `z`, and its place there: units hold the usable slices in order."""
        return divmod(z - self.plan.minz - bisect_left(self._unusable, z), self.plan.unit_slices)

    @cached_property
    def _unusable(self) -> list[int]:
        return sorted(self.plan.unusable)

    @cached_property
    def _units(self) -> dict[int, SliceUnit]:
        return {}

    def records(self, step: str, units: Iterable[int]) -> list[UnitRecord]:
        """Records of units that must be done already."""
        wanted = list(units)
        found = list(zip(wanted, read_records(self.store, step, wanted), strict=True))
        missing = [u for u, r in found if r is None]
        if missing:
            raise BrokenInvariant(f"{self.step} started before units {missing[:5]} of {step} were done")
        return [r for _, r in found if r is not None]

    def record(self, unit: int, inputs: object = None, objects: Iterable[ObjectRecord] = ()) -> UnitRecord:
        """What is known of a unit of this step: what it depends on, and what it wrote."""
        return UnitRecord(
            step=self.step,
            unit=unit,
            inputs=digest(inputs),
            settings=self.settings_digest,
            algorithm=algorithm(self.step),
            software=software(),
            objects=tuple(objects),
        )

    def keep(self, record: UnitRecord) -> None:
        """Record what was done, if the run is still that of this request."""
        self.refuse_superseded()
        write_record(self.store, record)

    def refuse_superseded(self) -> None:
        """Stop if another request took the run over: what this one wrote would be neither's."""
        if self.store.document(IngestConfig, CONFIG).identity() != self.request.identity():
            raise Superseded(
                f"{self.store.url}{CONFIG}: another request took this run over (--update); this one stops"
            )


@dataclass(frozen=True)
class Done:
    """What a unit wrote, and which slices turned out bad in it."""

    objects: Sequence[ObjectRecord]
    notes: Sequence[str] = ()


def slices_name(unit: int) -> str:
    return f"plan/{unit:06d}.json"


def planes_name(unit: int) -> str:
    return f"planes/{unit:06d}.json"


def once(run: Run, unit: int, inputs: object, work: Callable[[], Done]) -> str | None:
    """Do a unit unless its record says that it is done from the same inputs; why it was done, None if it was not.

    Two that do the same unit write the same bytes, so that it does not matter whose come last.
    """
    wanted = run.record(unit, inputs)
    why = why_again(run.store, read_record(run.store, run.step, unit), wanted)
    if why is None:
        return None
    run.refuse_superseded()
    started = time.process_time()
    done = work()
    spent = round(time.process_time() - started, 3)
    facts = {"objects": tuple(done.objects), "cpu_s": spent, "notes": tuple(done.notes)}
    run.keep(wanted.model_copy(update=facts))
    return why


def record_whole(run: Run, objects: Iterable[ObjectRecord]) -> None:
    """Record what a step without units wrote; it does so each time, and the record changes if the objects do."""
    wanted, found = run.record(0, objects=objects), read_record(run.store, run.step, 0)
    if found is None or found.objects != wanted.objects:
        run.keep(wanted)


@cache
def software() -> str:
    """Version of this program, and the container image that it runs in if CLIO_IMAGE names it."""
    image = os.environ.get("CLIO_IMAGE")
    return f"clio-argo {version('clio-argo')}" + (f" in {image}" if image else "")


def each_unit(units: Iterable[int], do: Callable[[int], str | None]) -> Outputs:
    """Do units in order; counts those done now and those done before, and says why some were done again."""
    wanted, reasons = list(units), list[str | None]()
    for unit in wanted:
        tell_progress(len(reasons), len(wanted))
        reasons.append(do(unit))
    tell_progress(len(reasons), len(wanted))
    done = [why for why in reasons if why is not None]
    again = Counter(why for why in done if why != NEW)
    return {
        "done": len(done),
        "skipped": len(reasons) - len(done),
        "again": dict(again),
        "peak_mib": peak_mib(),
    }


def tell_progress(done: int, wanted: int) -> None:
    """Argo shows what stands in this file beside the pod."""
    if name := os.environ.get("ARGO_PROGRESS_FILE"):
        Path(name).write_text(f"{done}/{wanted}\n")


def peak_mib() -> float:
    """Largest resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
