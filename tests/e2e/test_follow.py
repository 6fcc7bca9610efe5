"""A stack that is followed on a cluster while it is recorded, by a pod that is killed, and then becomes a volume."""

import time
from pathlib import Path

from clio_argo.store.documents import Store
from tests.e2e.cluster import BUCKET, Cluster, download, nodes, until
from tests.e2e.conftest import Receivers
from tests.follow.desk import judged
from tests.stacks import FIRST, NAME, completion, contents, demo_slice, encoded, request, run_here, write_stack

SLICES, BLACK = 12, FIRST + 8
# a slice is judged within a minute of its arrival, whatever happens to the pod
LATEST_S = 60
SETTINGS = ("--set", "follow.every=2s", "--set", "follow.until_idle=25s", "--set", "max_bad=1")


def test_slices_are_judged_as_they_come_and_the_run_goes_on_by_itself(
    cluster: Cluster, receivers: Receivers, tmp_path: Path
) -> None:
    source, out, name = f"{BUCKET}/sources/follow", f"{BUCKET}/runs/follow", "follow"
    slices = {z: demo_slice(z) * (z != BLACK) for z in range(FIRST, FIRST + SLICES)}
    folder, came = write_stack(tmp_path / "slices", slices), dict[int, float]()

    def record(z: int) -> None:
        Store(source).write(NAME % z, encoded(slices[z]))
        came[z] = time.time()

    cluster.submit(source, out, "--name", name, "--follow", "--set", "notify.email=a@example.org", *SETTINGS)
    spec = cluster.workflow(name)["spec"]
    assert (spec["entrypoint"], spec["activeDeadlineSeconds"]) == ("followed", 315_360_000)
    first = cluster.running(name, "follow")
    for z in range(FIRST, FIRST + 4):
        record(z)
        time.sleep(2)
    until(lambda: len(judged(out)) == 4, "four judged slices")
    # evicted, as from a node that goes
    cluster.kubectl("delete", "pod", first["metadata"]["name"], "--wait=false")
    for z in range(FIRST + 4, FIRST + SLICES):
        record(z)
        time.sleep(2)
    again = cluster.running(name, "follow", but=first["metadata"]["uid"])
    assert again["metadata"]["uid"] != first["metadata"]["uid"]
    until(lambda: len(judged(out)) == SLICES, "all judged slices")
    found = judged(out)
    assert {z: s.seen_s - came[z] for z, s in found.items() if s.seen_s - came[z] > LATEST_S} == {}
    assert [z for z, s in found.items() if s.wrong] == [BLACK]
    told = [m for m in receivers.sink.mails if f"z {BLACK}: bad" in m["Subject"]]
    assert len(told) == 1
    assert [p.get_content_type() for p in told[0].iter_parts()] == ["text/plain", "image/png"]
    ended = cluster.ended(name)
    assert ended["status"]["phase"] == "Succeeded"
    assert len(nodes(ended, "follow")) == 2
    done, whole = tmp_path / "done", request(folder, id="e2e", image=NAME, max_bad=1)
    download(out, done)
    assert completion(done).flagged == (BLACK,)
    assert contents(done) == contents(run_here(whole, tmp_path / "here"))
    assert [line.split()[0] for line in cluster.clio("get", name).splitlines() if "follow" in line.split()[:1]]
