"""What a look costs at a stack that is recorded, of which 10,000 slices are judged."""

import time
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.measure import repeated, spent
from benchmarks.scaling import write_small
from clio_argo.follow.arrivals import SETTLE_S
from clio_argo.follow.loop import Following
from clio_argo.model.request import Follow, Request
from clio_argo.pipeline import PIPELINE
from clio_argo.store.documents import Store

JUDGED, QUICK, LIMIT_S = 10_000, 300, 1


def measure(work: Path, quick: bool) -> list[Figure]:
    """CPU seconds of a look that finds nothing, of one that finds a slice, and of beginning again."""
    count, source, out = QUICK if quick else JUDGED, work / "source", work / "out"
    write_small(source, count)
    following = _judged(source, out)
    idle = repeated(following.look)
    one = sorted(source.glob("*.png"))[-1]
    number = int("".join(filter(str.isdigit, one.stem)))
    # settled, so that the look measures and judges it
    one.with_name(one.name.replace(f"{number:05d}", f"{number + 1:05d}")).write_bytes(one.read_bytes())
    following.look()
    time.sleep(SETTLE_S)
    news = spent(following.look)
    again = spent(lambda: _following(source, out).look())
    return [
        Figure("a look at 10,000 judged slices", idle.cpu_s, "CPU s", LIMIT_S),
        Figure("a look that finds one more", news.cpu_s, "CPU s", LIMIT_S),
        Figure("the first look of another process", again.cpu_s, "CPU s"),
    ]


def _following(source: Path, out: Path) -> Following:
    follow = Follow(every="1s", until_idle="1d")
    request = Request(id="benchmark", source=str(source), alignment={"skip": True}, follow=follow)
    return Following(Store(str(out)).url, request, PIPELINE, lambda _: None)


def _judged(source: Path, out: Path) -> Following:
    following = _following(source, out)
    following.look()
    time.sleep(SETTLE_S)
    while following.look().more:
        pass
    return following
