"""A run that another request takes over (`--update`) ends as a fresh run of that request, object for object."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from clio_argo.errors import GateStopped, UserError
from clio_argo.maintenance import verify
from clio_argo.model.parse_request import field_paths
from clio_argo.model.request import FILES, Request
from clio_argo.model.run import ObjectRecord
from clio_argo.store.documents import Store
from clio_argo.workspace import report_page
from clio_argo.workspace.run import open_run
from tests.maintenance.conftest import Here
from tests.properties.worlds import WORLDS, World, contents_of, values_in
from tests.stacks import run_here

pytestmark = pytest.mark.properties
# a run's parts stay where its first request put them, and an update to another place is refused
FIXED = [p for p in field_paths() if p.startswith("buckets.")]
# `update` itself is what the test changes; a document's version is no setting
SETTINGS = [p for p in field_paths() if p not in {"schema_version", "update", *FIXED}]
# what tells of the attempts and not of the result
ATTEMPTS = "process/"
TIMES = ("cpu_s",)
Objects = dict[str, bytes]
# what needs a setting of its own beside it says little in threes
COMBINED = [p for p in SETTINGS if not p.startswith("make_buckets.")]
# a run writes about so many objects
WRITES = 100
EXAMPLES_OF_THREE = 100 if os.environ.get("HYPOTHESIS_PROFILE") == "search" else 5
EXAMPLES = 20 if os.environ.get("HYPOTHESIS_PROFILE") == "search" else 1


class Bench:
    """One world with a finished run of its request; all runs are made in one folder, since runs tell where they are."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder, self.out = world, folder, folder / "out"
        world.write(folder)
        self.base = world.request(folder, {})
        run_here(self.base, self.out)
        self.fresh_base = objects(self.out)
        self.out.rename(folder / "base")

    def updated(self, begin: Path, config: Request) -> Objects:
        """Objects after a run of `config` that takes a copy of the finished run `begin` over."""
        shutil.rmtree(self.out, ignore_errors=True)
        shutil.copytree(begin, self.out)
        run_here(config.model_copy(update={"update": True}), self.out)
        return objects(self.out)

    def interrupted(self, config: Request, writes: int) -> None:
        """Let a run of `config` take the finished run over, and stop it after so many objects."""
        shutil.rmtree(self.out, ignore_errors=True)
        shutil.copytree(self.folder / "base", self.out)
        left, write = iter(range(writes)), Store.write

        def stop_at_last(store: Store, name: str, content: bytes) -> ObjectRecord:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return write(store, name, content)

        with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt, UserError, GateStopped):
            patch.setattr(Store, "write", stop_at_last)
            run_here(config.model_copy(update={"update": True}), self.out)

    def moved(self, name: str) -> Path:
        """The folder of the last run, out of the way of the next."""
        place = self.folder / name
        shutil.rmtree(place, ignore_errors=True)
        return self.out.rename(place)

    def fresh(self, config: Request) -> Objects:
        shutil.rmtree(self.out, ignore_errors=True)
        run_here(config, self.out)
        return objects(self.out)

    def possible(self, config: Request) -> Objects | None:
        """Objects of a fresh run; None if it is refused, or stops at a gate."""
        with suppress(UserError, GateStopped):
            return self.fresh(config)
        return None

    def differs(self, begin: Path, config: Request, fresh: Objects) -> list[str]:
        """What tells the run `begin`, taken over by `config`, from a fresh run, and what `verify` finds."""
        return differences(self.updated(begin, config), fresh) + faults(self.out)


@pytest.fixture(scope="session", params=WORLDS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory(prefix="clio-") as folder:
        # reports differ by nothing else then
        patch.setattr(report_page, "stage_times", lambda attempts: ())
        patch.setattr(verify, "worker_pool", in_this_process)
        yield Bench(WORLDS[request.param], Path(folder))


@contextmanager
def in_this_process(workers: int) -> Iterator[Executor]:
    yield Here()


@pytest.mark.parametrize("setting", SETTINGS)
@settings(max_examples=EXAMPLES, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_update_ends_as_a_fresh_run(bench: Bench, setting: str, data: st.DataObject) -> None:
    """From the world's request to one value or two, and back."""
    if not bench.world.takes(setting):
        pytest.skip("is tried in another world")
    if setting == "value_window" and bench.world.dtype is np.uint8:
        pytest.skip("for other values than those of 8 and 16 bits")
    if setting == "order" and {"positions", "transforms"} & bench.world.settings.keys():
        pytest.skip("positions and transforms are given for other slices then")
    # the first example that hypothesis tries has the simplest values, which change least
    assume(data.draw(st.booleans()))
    values = [data.draw(values_in(bench.world, setting), setting) for _ in range(bench.world.values)]
    last, problems = bench.folder / "base", list[str]()
    for value in values:
        config = changed(bench, {setting: value})
        if config is None or (fresh := bench.possible(config)) is None:
            continue
        problems += [f"fresh run of {value!r}: {f}" for f in faults(bench.out)]
        problems += [f"to {value!r}: {p}" for p in bench.differs(last, config, fresh)]
        last = bench.moved("last")
    assume(last.name == "last")
    problems += [f"back: {p}" for p in bench.differs(last, bench.base, bench.fresh_base)]
    assert not problems, "\n".join([f"{setting} = {values!r}", *problems])


@settings(max_examples=EXAMPLES_OF_THREE, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_three_settings_and_an_update_that_was_interrupted_in_between(bench: Bench, data: st.DataObject) -> None:
    tried = [name for name in COMBINED if bench.world.takes(name)]
    names = data.draw(st.lists(st.sampled_from(tried), min_size=3, max_size=3, unique=True))
    values = {name: data.draw(values_in(bench.world, name), name) for name in names}
    assume((config := changed(bench, values)) is not None)
    between = changed(bench, dict([*values.items()][: data.draw(st.integers(1, 3))])) or config
    fresh = bench.possible(config)
    assume(fresh is not None)
    bench.interrupted(between, data.draw(st.integers(1, WRITES)))
    problems = bench.differs(bench.moved("between"), config, fresh)
    assert not problems, "\n".join([f"{values!r}", *problems])


@pytest.mark.parametrize("setting", FILES)
def test_a_file_that_changed_counts_as_another_request(bench: Bench, setting: str) -> None:
    file = bench.folder / "given.txt"
    text, other = (content.encode("latin-1") for content in contents_of(setting, bench.world))
    config = bench.base.model_copy(update={setting: str(file)})
    file.write_bytes(text)
    bench.fresh(config)
    before = bench.moved("before")
    file.write_bytes(other)
    fresh = bench.fresh(config)
    problems = bench.differs(before, config, fresh)
    assert not problems, "\n".join(problems)


def changed(bench: Bench, values: Mapping[str, Any]) -> Request | None:
    """The request with some settings changed; None if there is no such request, or no other."""
    needed: dict[str, Any] = {}
    if any(name.startswith("make_buckets.") for name in values):
        needed["make_buckets.location"] = "us-east4"
    # transforms leave no choice of a path
    if values.get("alignment.trend", "auto") != "auto":
        needed["transforms"] = None
    with suppress(UserError):
        config = bench.world.request(bench.folder, {**needed, **values})
        return config if config != bench.base else None
    return None


def objects(out: Path) -> Objects:
    """All objects of a run by name, without what tells of its attempts."""
    store = open_run(str(out))
    names = [n for n in store.names() if not n.startswith(ATTEMPTS)]
    return {n: timeless(n, data) for n, data in zip(names, store.need_all(names), strict=True)}


def timeless(name: str, data: bytes) -> bytes:
    if not name.startswith("manifest/"):
        return data
    return json.dumps({k: v for k, v in json.loads(data).items() if k not in TIMES}).encode()


def differences(found: Mapping[str, bytes], wanted: Mapping[str, bytes]) -> list[str]:
    both = found.keys() & wanted.keys()
    return [
        *(f"left over: {n}" for n in sorted(found.keys() - wanted.keys())),
        *(f"lacking: {n}" for n in sorted(wanted.keys() - found.keys())),
        *(f"other bytes: {n}" for n in sorted(both) if found[n] != wanted[n]),
    ]


def faults(out: Path) -> list[str]:
    """What `verify` finds."""
    return [f"verify: {f.name} {f.what}" for f in verify.verify(out, "deep", 1).faults]
