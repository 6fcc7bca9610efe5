"""The simulator of a cluster: it follows the emitted workflow, and keeps the laws of pods, nodes and bills."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.cluster_bill import bill, gone_s, path_s
from benchmarks.cluster_costs import work_of
from benchmarks.cluster_graph import Graph, read_graph
from benchmarks.cluster_loop import Run, simulate
from benchmarks.cluster_nodes import Pod
from benchmarks.cluster_site import Delays, Site, gke
from benchmarks.cluster_stack import Stack, planned
from clio_argo.argo.manifests import manifests
from clio_argo.argo.settings import Approval, ClusterSettings, Image, Retries
from clio_argo.model.request import Request
from clio_argo.model.step import Step
from clio_argo.pipeline import PIPELINE, Pipeline

IMAGES = {n: Image(repository=n, digest=f"sha256:{'0' * 64}") for n in ("align", "write")}
CALM = Delays(preemptions_per_h=0)


@cache
def emitted(pipeline: Pipeline = PIPELINE, **changes: Any) -> Graph:
    cluster = ClusterSettings.gke(images=IMAGES, **changes)
    return read_graph(manifests(pipeline, cluster)["workflowtemplate.yaml"][0])


@cache
def stack(slices: int = 96, max_parts: int = 12) -> Stack:
    request = Request(id="fly", source="gs://s/fly", max_parts=max_parts, single_pod_minutes=0)
    return planned(request, slices, 2000, 1500, 0.8)


def run(of: Stack, site: Site, graph: Graph | None = None, pipeline: Pipeline = PIPELINE, seed: int = 0) -> Run:
    return simulate(graph or emitted(pipeline), of, site, work_of(of, pipeline, site.delays), pipeline, seed)


def tries(of: Run) -> Counter[tuple[str, int]]:
    return Counter((p.task.name, p.part) for p in of.pods)


@dataclass(frozen=True)
class World:
    """Anything that a person may choose, and what chance may do."""

    stack: Stack
    site: Site
    parallelism: int
    seed: int

    @property
    def graph(self) -> Graph:
        return emitted(parallelism=self.parallelism, retries=RETRIED)

    def run(self) -> Run:
        return run(self.stack, self.site, self.graph, seed=self.seed)


# of nodes that are reclaimed every few minutes no try is the last
RETRIED = Retries(limit=20, wait="1s", longest="10h")


@st.composite
def worlds(draw: st.DrawFn) -> World:
    reclaimed = draw(st.sampled_from([0.0, 0.05, 5.0]))
    delays = Delays(
        requeue_s=draw(st.sampled_from([1.0, 10.0])),
        preemptions_per_h=reclaimed,
        idle_s=draw(st.sampled_from([5, 600])),
    )
    site = gke(draw(st.sampled_from([4, 8])), draw(st.integers(8, 64)), delays)
    of = stack(draw(st.sampled_from([20, 96, 150])), draw(st.sampled_from([1, 5, 30])))
    return World(of, site, draw(st.sampled_from([1, 7, 100])), draw(st.integers(0, 9)))


@settings(max_examples=25, deadline=None)
@given(worlds())
def test_pods_come_after_what_they_need_and_nodes_hold_them(world: World) -> None:
    found = world.run()
    assert found.succeeded
    done = {t.name: max((p.noticed_s for p in found.pods if p.task is t), default=0.0) for t in world.graph.tasks}
    for pod in found.pods:
        assert pod.created_s >= max((done[name] for name in pod.task.after), default=0.0)
        assert pod.created_s <= pod.placed_s <= pod.ended_s <= pod.noticed_s
        node = found.nodes[pod.node]
        assert node.ready_s <= pod.placed_s
        assert node.gone_s is None or pod.ended_s <= node.gone_s
        assert node.pool.spot == bool(pod.task.template.selector)
    for node in found.nodes:
        own, machine = [p for p in found.pods if p.node == node.number], node.pool.machine
        assert most([(p.placed_s, p.ended_s, p.cpu) for p in own]) <= machine.cpu + 1e-6
        assert most([(p.placed_s, p.ended_s, p.mib) for p in own]) <= machine.mib + 1e-6
    for pool in world.site.pools:
        there = [n for n in found.nodes if n.pool is pool]
        assert most([(n.asked_s, n.gone_s or found.ended_s, 1) for n in there if not n.reclaimed]) <= pool.most
    assert most([(p.created_s, p.noticed_s, 1) for p in found.pods]) <= world.parallelism


def most(spans: list[tuple[float, float, float]]) -> float:
    """The largest sum of amounts that there is at a time, of spans (begin, end, amount)."""
    changes = sorted([(end, -amount) for _, end, amount in spans] + [(begin, amount) for begin, _, amount in spans])
    now = largest = 0.0
    for _, change in changes:
        now += change
        largest = max(largest, now)
    return largest


@settings(max_examples=25, deadline=None)
@given(worlds())
def test_every_unit_is_done_once_whatever_is_reclaimed(world: World) -> None:
    found, delays = world.run(), world.site.delays
    done: Counter[tuple[str, int]] = Counter()
    for pod in found.pods:
        done[pod.task.name, pod.part] += pod.units
    units = {s.name: world.stack.shares(s) for s in PIPELINE.all_steps if not s.endless}
    assert done == {(name, part): len(own) for name, parts in units.items() for part, own in enumerate(parts) if own}
    lost = [p for p in found.pods if p.exit_code]
    assert len(found.pods) == len(done) + len(lost)
    start_s = delays.pod_cpu_s + delays.process_cpu_s
    worked = sum(p.cpu_s for p in found.pods)
    needed = sum(w.cpu_s for w in work_of(world.stack, PIPELINE, delays).values()) + start_s * len(done)
    assert worked >= needed - 1e-3
    assert lost or worked == pytest.approx(needed, rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(worlds())
def test_the_same_seed_is_the_same_run_and_costs_its_nodes(world: World) -> None:
    first, second = world.run(), world.run()
    assert [(p.task.name, p.part, p.ended_s) for p in first.pods] == [
        (p.task.name, p.part, p.ended_s) for p in second.pods
    ]
    idle_s, machine = world.site.delays.idle_s, world.site.workers.machine
    paid = bill(first, idle_s)
    hours = sum(gone_s(n, first, idle_s) - n.asked_s for n in first.nodes if n.pool.spot) / 3600
    assert paid.dollars == pytest.approx(hours * machine.price)
    assert paid.vcpu_h == pytest.approx(hours * machine.vcpus)
    assert 0 <= paid.after_h <= len(first.nodes) * machine.vcpus * idle_s / 3600


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([20, 96, 150]), st.sampled_from([5, 30]), st.integers(8, 32))
def test_more_nodes_are_never_much_slower(slices: int, max_parts: int, quota: int) -> None:
    few, many = (run(stack(slices, max_parts), gke(8, q, CALM)).ended_s for q in (quota, 2 * quota))
    # pods that come at another moment may wait for another look of the controller, at each of a dozen stages
    assert many <= few * 1.05 + 60


def test_a_small_run_takes_one_pod_behind_the_plan() -> None:
    request = Request(id="fly", source="gs://s/fly")
    of = planned(request, 60, 520, 520, 0.8)
    found, apart = run(of, gke(8, 64, CALM)), run(replace(of, single=False), gke(8, 64, CALM))
    assert [p.task.name for p in found.pods] == ["plan", "all", "notify"]
    assert sum(p.units for p in found.pods) == sum(p.units for p in apart.pods)
    assert found.pods[1].mib == max(s.memory_mib for s in of.expected.stages if s.step != "plan")
    assert found.pods[1].task.template.selector, "a node of the pool whose nodes hold it"
    # both wait for a node of each pool
    assert found.ended_s < apart.ended_s - 120
    asked = run(of, gke(8, 64, CALM), emitted(approval=Approval(default="ask")))
    assert [p.task.name for p in asked.pods] == ["plan", "reduce-solve", "render-publish", "notify"]


def test_a_calm_run_tries_each_part_once_and_the_path_is_its_time() -> None:
    found = run(stack(), gke(8, 64, CALM))
    assert set(tries(found).values()) == {1}
    path = path_s(found, CALM)
    assert sum(s for of in path.values() for s in of.values()) == pytest.approx(found.ended_s)
    assert all(s >= 0 for of in path.values() for s in of.values())


def test_a_node_that_is_reclaimed_costs_the_unit_that_it_was_in() -> None:
    of = stack(150, 1)
    found = run(of, gke(8, 8, Delays(preemptions_per_h=100)), emitted(retries=RETRIED))
    lost = [p for p in found.pods if p.exit_code]
    assert found.succeeded
    assert {p.exit_code for p in lost} == {143}
    assert any(p.units for p in lost), "units that were done before stay done"
    assert sum(p.units for p in found.pods if p.task.name == "render") == len(of.shares(PIPELINE["render"])[0])


def test_a_workflow_without_retries_fails_with_the_first_node() -> None:
    found = run(stack(150, 1), gke(8, 8, Delays(preemptions_per_h=200)), emitted(retries=Retries(limit=0)))
    assert not found.succeeded
    assert sum(p.exit_code == 143 for p in found.pods) == 1


def with_cpu(name: str, cpu: str) -> Pipeline:
    return replace(PIPELINE, steps=tuple(replace(s, cpu=cpu) if s.name == name else s for s in PIPELINE.steps))


def at_a_time(found: Run, name: str) -> float:
    pods: list[Pod] = [p for p in found.pods if p.task.name == name]
    return most([(p.placed_s, p.ended_s, 1) for p in pods])


def test_another_pipeline_is_another_run() -> None:
    of, site = stack(), gke(8, 8, CALM)
    usual = run(of, site)
    assert (at_a_time(usual, "render"), tries(usual).total()) == (
        9,
        sum(len(of.shares(s)) for s in PIPELINE.all_steps if not s.endless),
    )
    wide = with_cpu("render", "3")
    assert at_a_time(run(of, site, pipeline=wide), "render") == 2
    more = PIPELINE.with_step(Step("count", "own:count", after=("verify",), title="count"), before=("publish",))
    longer = run(of, site, pipeline=more)
    assert tries(longer) == tries(usual) + Counter({("count", 0): 1})
    assert longer.ended_s > usual.ended_s
    ordered = next(p for p in longer.pods if p.task.name == "publish")
    assert ordered.created_s >= next(p.noticed_s for p in longer.pods if p.task.name == "count")


def test_another_setting_of_the_cluster_is_another_run() -> None:
    of, site = stack(), gke(8, 64, CALM)
    assert at_a_time(run(of, site, emitted(parallelism=3)), "render") == 3
    assert at_a_time(run(of, gke(8, 8, CALM), emitted(cpu="1400m")), "reduce") == 5


def test_memory_fills_nodes_where_cores_do_not() -> None:
    of = planned(Request(id="fly", source="gs://s/fly", single_pod_minutes=0), 300, 8000, 7125)
    found = run(of, gke(8, 8, CALM), emitted(cpu="100m"))
    machine, asked = gke(8, 8).workers.machine, of.results["solve"].memory_mib["render_mib"]
    assert at_a_time(found, "render") == machine.mib // asked < len(of.shares(PIPELINE["render"]))
    capped = run(of, gke(8, 8, CALM), emitted(cpu="100m", memory_max_mib=700))
    assert {p.mib for p in capped.pods if p.task.name == "render"} == {700}


def test_an_idle_node_is_paid_until_it_goes() -> None:
    found = run(stack(), gke(8, 8, CALM))
    (node,) = (n for n in found.nodes if n.pool.spot)
    last_s = max(p.ended_s for p in found.pods if p.node == node.number)
    paid_h = (last_s + CALM.idle_s - node.asked_s) / 3600
    assert bill(found, CALM.idle_s).vcpu_h == pytest.approx(8 * paid_h)
    assert bill(found, 0).after_h == 0


def test_a_node_pulls_an_image_once() -> None:
    found = run(stack(max_parts=1), gke(8, 8, CALM))
    starts = {p.task.name: p.began_s - p.placed_s for p in found.pods}
    each_s = CALM.pod_s + CALM.pod_cpu_s + CALM.process_cpu_s
    assert starts["reduce"] == pytest.approx(each_s + CALM.pull_s)
    assert [starts["match"], starts["render"]] == pytest.approx([each_s, each_s])
    assert starts["write"] == pytest.approx(each_s + CALM.pull_s), "its image is another one"


def test_the_controller_makes_pods_at_its_rate() -> None:
    of = planned(Request(id="fly", source="gs://s/fly", single_pod_minutes=0), 2000, 300, 300)
    found = run(of, gke(8, 64, CALM), emitted(parallelism=500))
    created = sorted(p.created_s for p in found.pods if p.task.name == "reduce")
    assert len(created) > CALM.burst
    assert created[-1] - created[0] == pytest.approx((len(created) - CALM.burst) / CALM.pods_per_s)


def test_a_try_waits_for_its_pause() -> None:
    retries = Retries(limit=20, wait="2m", longest="10h")
    found = run(stack(150, 1), gke(8, 8, Delays(preemptions_per_h=100)), emitted(retries=retries))
    first = {(p.task.name, p.part): p for p in found.pods if not p.attempt}
    again = [p for p in found.pods if p.attempt == 1]
    assert again
    assert all(p.created_s >= first[p.task.name, p.part].noticed_s + 120 for p in again)


def test_fits_around_suspects_cost_what_is_suspect() -> None:
    request = Request(id="fly", source="gs://s/fly", single_pod_minutes=0)
    clean, half, all_of_it = (planned(request, 320, 2000, 1500, share) for share in (0, 0.5, 1))
    cpu_s = [work_of(of, PIPELINE, CALM)["rematch"].cpu_s for of in (clean, half, all_of_it)]
    assert cpu_s[0] == 0 < cpu_s[1]
    assert cpu_s[2] == pytest.approx(2 * cpu_s[1])
    assert "rematch" not in {p.task.name for p in run(clean, gke(8, 64, CALM)).pods}


def test_steps_that_read_documents_cost_by_slices_and_others_by_pixels() -> None:
    request = Request(id="fly", source="gs://s/fly", single_pod_minutes=0)
    small, large = (work_of(planned(request, 160, side, side), PIPELINE, CALM) for side in (2000, 4000))
    grown = {name for name in small if large[name].cpu_s > 1.01 * small[name].cpu_s}
    assert {"reduce", "render", "write"} <= grown <= {step.name for step in PIPELINE.steps if step.units}


def test_a_pod_that_fits_on_no_node_waits_until_the_deadline() -> None:
    found = run(stack(), gke(8, 64, CALM), emitted(cpu="4", deadline_hours=1))
    assert (found.succeeded, [p.task.name for p in found.pods]) == (False, ["plan"])
    assert found.ended_s == pytest.approx(3600, abs=10)


def test_the_emitted_limits_are_read() -> None:
    render = next(
        t
        for t in emitted(memory_max_mib=700, retries=Retries(limit=3, wait="1m", longest="90s")).tasks
        if t.name == "render"
    )
    retries = render.template.retries
    assert (render.template.most_mib, render.template.cpu, render.after) == (700, 0.8, ("solve", "ask"))
    assert [retries.pause_s(143, tries) for tries in (1, 2, 3, 4)] == [60, 90, 90, None]
    assert retries.pause_s(1, 1) is None, "a fault that a person has to mend"
