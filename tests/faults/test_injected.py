"""The system refuses one call of a run, or a signal arrives in it: the next run ends as a clean one would."""

import os
import random
import re
from collections.abc import Iterator

import pytest

from tests.faults.injection import FOLLOWERS, STRACE, Trial, trial

pytestmark = [
    pytest.mark.properties,
    pytest.mark.skipif(STRACE is None, reason="needs strace (apt-get install strace)"),
]
# all of them are tried by `python -m benchmarks faults`
SAMPLE, SEED = (200, None) if os.environ.get("HYPOTHESIS_PROFILE") == "search" else (10, 14)


@pytest.fixture(scope="module")
def attempts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    with trial(tmp_path_factory.mktemp("injected")) as attempts:
        yield attempts


def test_after_any_fault_the_next_run_ends_as_a_clean_one(attempts: Trial) -> None:
    random_ = random.Random(SEED)
    chosen = random_.sample(attempts.faults, SAMPLE)
    problems = [p for f in chosen for p in attempts.problems(f, random_.choice(FOLLOWERS))]
    assert not problems, "\n".join(problems)


def test_a_disk_that_fails_is_said_with_the_object_and_what_to_do(attempts: Trial) -> None:
    fault = next(f for f in attempts.faults if str(f).startswith("EIO at fsync") and "log" not in f.kind)
    ended, _ = attempts.disturbed(fault)
    assert re.search(r"out/\S+: the disk or its server reports an error: .*run the same command again", ended.said)
