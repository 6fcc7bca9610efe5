"""A run as one step sees it: its documents, and the settings that the step declares."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from clio_argo.errors import BrokenInvariant, SupersededError
from clio_argo.model.alignment import Planes, Suspects, Transforms
from clio_argo.model.base import digest
from clio_argo.model.layout import (
    CLEANED,
    CONFIG,
    FOLLOWED,
    FORMER_SUSPECTS,
    PLAN,
    SUSPECTS,
    TRANSFORMS,
    USER_INPUTS,
    VOLUME,
    planes_name,
    slices_name,
)  # fmt: skip
from clio_argo.model.plan import FanOut, Plan, SliceFile, SliceUnit
from clio_argo.model.request import Request
from clio_argo.model.run import Cleaned, ObjectRecord, UnitRecord
from clio_argo.model.step import Pipeline, Step
from clio_argo.model.volume import VolumeSpec
from clio_argo.store.documents import Store, crc32c
from clio_argo.store.manifest import read_records, software, write_record
from clio_argo.store.volumes import Volumes

if TYPE_CHECKING:
    from clio_argo.store.sources.base import StackSource


class DeclaredSettings:
    """The settings of a request that a step declares. Reading any other raises `BrokenInvariant`.

    A unit is rerun when the digest of its declared settings changes. One that was read without being declared would
    change the result and leave the unit as it is.
    """

    def __init__(self, section: Any, settings: Sequence[str]) -> None:
        self._section, self._settings = section, tuple(settings)

    def __getattr__(self, name: str) -> Any:
        if name in self._settings:
            return getattr(self._section, name)
        inner = [s.removeprefix(f"{name}.") for s in self._settings if s.startswith(f"{name}.")]
        if not inner:
            raise BrokenInvariant(f"the step reads the setting {name!r} without declaring it")
        return DeclaredSettings(getattr(self._section, name), inner)


def open_run(url: str) -> Store:
    """The store of the run at `url`, with the folders that its request keeps elsewhere.

    A root without a request, or with a damaged one, has everything in one place.
    """
    request = Store(url).intact(Request, CONFIG)
    return Store(url, request.buckets.elsewhere()) if request else Store(url)


@dataclass(frozen=True)
class Run:
    """One run as one step of a pipeline sees it."""

    store: Store
    step: Step
    pipeline: Pipeline

    @cached_property
    def request(self) -> Request:
        """The whole request."""
        return self.store.document(Request, CONFIG)

    @property
    def settings(self) -> Request:
        """The request, restricted to the settings that the step declares."""
        return cast(Request, DeclaredSettings(self.request, self.step.settings))

    @cached_property
    def settings_digest(self) -> str:
        """Digest of the declared settings."""
        return digest({name: self.request.setting(name) for name in self.step.settings})

    @property
    def inputs(self) -> str:
        """Digest over all that the results follow from: the request, the plan and the user's files."""
        plan, given = self.store.document(Plan, PLAN), self.store.need(USER_INPUTS)
        return digest([self.request.identity(), crc32c(plan.uncut.to_bytes()), crc32c(given)])

    @cached_property
    def is_cleaned(self) -> bool:
        """Whether temporary objects are gone of a run that was finished with the same inputs."""
        marker = self.store.intact(Cleaned, CLEANED)
        return marker is not None and marker.inputs == self.inputs

    @cached_property
    def plan(self) -> Plan:
        """What `plan` found in the source."""
        return self.store.document(Plan, PLAN)

    @cached_property
    def suspects(self) -> Suspects:
        """What `suspects` found in doubt, and the pairs to fit again."""
        former = self.store.read(SUSPECTS) is None and self.store.read(FORMER_SUSPECTS) is not None
        return self.store.document(Suspects, FORMER_SUSPECTS if former else SUSPECTS)

    @cached_property
    def transforms(self) -> Transforms:
        """Where `solve` put every slice."""
        return self.store.document(Transforms, TRANSFORMS)

    @cached_property
    def volume(self) -> VolumeSpec:
        """The shapes of both volumes."""
        return self.store.document(VolumeSpec, VOLUME)

    @cached_property
    def volumes(self) -> Volumes:
        """The arrays of both volumes."""
        return Volumes(self.store, self.volume)

    @cached_property
    def followed(self) -> frozenset[str]:
        """Names of the objects of slices that were measured while they were recorded."""
        return frozenset(self.store.names(FOLLOWED))

    def planned(self, plan: Plan) -> "Run":
        """The same run with a plan that is not written: slices still come."""
        run = replace(self)
        vars(run)["plan"] = plan
        return run

    @cached_property
    def source(self) -> "StackSource":
        """The slices, wherever they are stored."""
        # imported here: the container image of the steps that write volumes holds no decoders of images
        from clio_argo.store.sources import open_source

        return open_source(self.plan.source, self.plan.source_kind, self.plan.together)

    def units_of(self, step: Step, part: int) -> Sequence[int]:
        """The units of one part of a step."""
        if not step.units:
            return [part]
        numbers = self.unit_numbers(step)
        return [numbers[i] for i in self._fan_out(step).part(part)]

    def unit_numbers(self, step: Step) -> Sequence[int]:
        """Numbers of all units of a step, as in the names of their records."""
        if not step.units:
            return [0]
        # numbered by the units of slices that the pairs start in, of which most have none
        if step.units == "suspects.rematch":
            return [r.unit for r in self.suspects.rematch_units]
        return range(self._fan_out(step).units)

    def _fan_out(self, step: Step) -> FanOut:
        document, _, field = step.units.partition(".")
        return cast(FanOut, getattr(getattr(self, document), field))

    def slices(self, unit: int) -> SliceUnit:
        """The slices of a unit of `reduce`."""
        return self.store.document(SliceUnit, slices_name(unit))

    @property
    def all_slices(self) -> Iterator[SliceUnit]:
        """All usable slices, unit by unit."""
        return self.store.documents(SliceUnit, [slices_name(u) for u in range(self.plan.units)])

    def planes(self, unit: int) -> Planes:
        """The slices that fill the planes of a unit of `render`; all channels of a slab share them."""
        return self.store.document(Planes, planes_name(self.volume.channel_and_slab(unit)[1]))

    def slice_file(self, z: int) -> SliceFile:
        """The file of usable slice `z`."""
        unit, index = self.find_slice(z)
        if unit not in self._units:
            self._units[unit] = self.slices(unit)
        file = self._units[unit].slices[index]
        if file.z != z:
            raise BrokenInvariant(f"slice {z} is not where the plan has it")
        return file

    def find_slice(self, z: int) -> tuple[int, int]:
        """Unit of the usable slice `z`, and its index there: units hold the usable slices in order."""
        return divmod(z - self.plan.minz - bisect_left(self._unusable, z), self.plan.unit_slices)

    @cached_property
    def _unusable(self) -> list[int]:
        return sorted(self.plan.unusable)

    @cached_property
    def _units(self) -> dict[int, SliceUnit]:
        return {}

    def records(self, step: str, units: Iterable[int]) -> list[UnitRecord]:
        """Records of units that must be done already."""
        numbers = list(units)
        records = list(read_records(self.store, step, numbers))
        missing = [u for u, r in zip(numbers, records, strict=True) if r is None]
        if missing:
            raise BrokenInvariant(f"{self.step.name} started before units {missing[:5]} of {step} were done")
        return [r for r in records if r is not None]

    def new_record(self, unit: int, inputs: object = None, objects: Iterable[ObjectRecord] = ()) -> UnitRecord:
        """A record of a unit of this step: what it depends on, and what it wrote."""
        return UnitRecord(
            step=self.step.name, unit=unit, inputs=digest(inputs), settings=self.settings_digest,
            algorithm=self.step.version, software=software(), objects=tuple(objects),
        )  # fmt: skip

    def write_record(self, record: UnitRecord) -> None:
        """Write the record of a finished unit. Raises `SupersededError`."""
        # checked again: the request may have been replaced while the unit was under way
        self.refuse_superseded()
        write_record(self.store, record)

    def refuse_superseded(self) -> None:
        """Raise `SupersededError` if another request has replaced this one in config.json."""
        # read anew each time: there is no lock, so this is how a process learns of `--update` elsewhere
        if self.store.document(Request, CONFIG).identity() != self.request.identity():
            raise SupersededError.of(f"{self.store.url}{CONFIG}")
