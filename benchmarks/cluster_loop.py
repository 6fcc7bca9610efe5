"""Discrete events of one run on a cluster: a controller that makes pods, a scheduler, an autoscaler, reclaimed nodes.

Every chance comes from one seed. Nothing waits for anything that the emitted workflow does not name.
"""

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from benchmarks.cluster_costs import Work
from benchmarks.cluster_graph import Graph, Output, Task
from benchmarks.cluster_nodes import Node, Pod, Segment, fresh_nodes, starts
from benchmarks.cluster_site import HOUR_S, Delays, Pool, Site
from benchmarks.cluster_stack import Stack
from clio_argo.pipeline import Pipeline, Step

RECLAIMED = 143  # the exit code of a step that got SIGTERM


class Clock:
    """Actions in the order of their times."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (max(when, self.now), next(self._count), action))

    def run(self, over: Callable[[], bool], until_s: float) -> None:
        while self._events and not over() and self.now < until_s:
            self.now, _, action = heapq.heappop(self._events)
            action()


class Cluster:
    """Nodes that come, take pods, and go."""

    def __init__(self, clock: Clock, site: Site, seed: int) -> None:
        self.nodes: list[Node] = []
        self.ended: Callable[[Pod], None]  # told of each pod that ended
        self._live: list[Node] = []
        self._pending: list[Pod] = []
        self._clock, self._site, self._random = clock, site, random.Random(seed)
        for pool in site.pools:
            for _ in range(pool.least):
                self._add(pool, 0.0)
        clock.at(0.0, self._scan)

    @property
    def delays(self) -> Delays:
        return self._site.delays

    def take(self, pod: Pod) -> None:
        """A pod that the controller made."""
        self._pending.append(pod)
        self._schedule()

    def _schedule(self) -> None:
        refused = set()
        for pod in tuple(self._pending):
            kind = (pod.cpu, pod.mib, pod.task.template.selector)
            node = None if kind in refused else self._room(pod)
            if node is None:
                refused.add(kind)
            else:
                self._pending.remove(pod)
                self._start(pod, node)

    def _room(self, pod: Pod) -> Node | None:
        """The fullest node that takes the pod."""
        pool = self._site.pool_of(pod.task.template.selector)
        fitting = (n for n in self._live if n.pool is pool and n.takes(pod, self._clock.now))
        return min(fitting, key=lambda n: n.cpu_left, default=None)

    def _start(self, pod: Pod, node: Node) -> None:
        now = pod.placed_s = self._clock.now
        node.advance(now)
        pulled_s = node.images.setdefault(pod.task.template.image, now + self.delays.pull_s)
        pod.segments.insert(0, Segment(max(0.0, pulled_s - now)))
        pod.left_s, pod.node = pod.segments[0].seconds, node.number
        node.pods.append(pod)
        self._plan(node)

    def _plan(self, node: Node) -> None:
        """Look at the node again when the first of its pods comes to the end of a segment."""
        node.version += 1
        when = node.next_s()
        if when is not None:
            self._clock.at(when, partial(self._turn, node, node.version))

    def _turn(self, node: Node, version: int) -> None:
        if version != node.version:
            return
        over = [pod for pod in node.advance(self._clock.now) if self._is_over(pod)]
        for pod in over:
            self._end(node, pod, 0)
        self._plan(node)
        if over:
            self._schedule()

    def _is_over(self, pod: Pod) -> bool:
        """Go on to the next segment, if there is one."""
        pod.units += pod.segments.pop(0).units
        if not pod.segments:
            return True
        pod.left_s = pod.segments[0].seconds
        if pod.segments[0].units and not pod.began_s:
            pod.began_s = self._clock.now
        return False

    def _end(self, node: Node, pod: Pod, exit_code: int) -> None:
        pod.ended_s, pod.exit_code = self._clock.now, exit_code
        node.pods.remove(pod)
        node.idle_since_s = self._clock.now
        self.ended(pod)

    def _reclaim(self, node: Node) -> None:
        """Take a spot node away; a step ends at once when it gets SIGTERM."""
        if node.gone_s is not None:
            return
        node.advance(self._clock.now)
        for pod in tuple(node.pods):
            self._end(node, pod, RECLAIMED)
        node.version, node.reclaimed = node.version + 1, True
        self._remove(node, self._clock.now + self.delays.grace_s)

    def _remove(self, node: Node, gone_s: float) -> None:
        node.gone_s = gone_s
        self._live.remove(node)

    def _scan(self) -> None:
        """What the autoscaler does every few seconds."""
        for pool in self._site.pools:
            self._grow(pool)
            self._shrink(pool)
        self._clock.at(self._clock.now + self.delays.scan_s, self._scan)

    def _grow(self, pool: Pool) -> None:
        live = [n for n in self._live if n.pool is pool]
        coming = [(n.cpu_left, n.mib_left) for n in live if n.ready_s > self._clock.now]
        waiting = [p for p in self._pending if self._site.pool_of(p.task.template.selector) is pool]
        for _ in range(min(fresh_nodes(waiting, pool, coming), pool.most - len(live))):
            self._add(pool, self._clock.now + self.delays.node_s)

    def _shrink(self, pool: Pool) -> None:
        live = [n for n in self._live if n.pool is pool]
        idle = [n for n in live if not n.pods and max(n.idle_since_s, n.ready_s) + self.delays.idle_s < self._clock.now]
        for node in idle[: len(live) - pool.least]:
            self._remove(node, self._clock.now)

    def _add(self, pool: Pool, ready_s: float) -> None:
        node = Node(len(self.nodes), pool, self._clock.now, ready_s, idle_since_s=ready_s, at_s=ready_s)
        self.nodes.append(node)
        self._live.append(node)
        self._clock.at(ready_s, self._schedule)
        if pool.spot and self.delays.preemptions_per_h:
            lasts_s = self._random.expovariate(self.delays.preemptions_per_h / HOUR_S)
            self._clock.at(ready_s + lasts_s, partial(self._reclaim, node))


class Controller:
    """Argo's controller: it looks at the workflow some seconds after a pod changed, and makes pods one by one."""

    def __init__(self, clock: Clock, delays: Delays, graph: Graph, results: Mapping[str, Mapping[str, object]]) -> None:
        self.pods: list[Pod] = []
        self.failed = False
        self._clock, self._delays, self._graph, self._results = clock, delays, graph, results
        self._todo: deque[Pod] = deque()
        self._over: list[Pod] = []
        self._left: dict[str, int] = {}
        self._active = 0
        self._due_s: float | None = None
        self._busy_s = self._paid_s = 0.0
        self.make: Callable[[Pod], None]  # told of each pod that is to run
        self.touch(0.0)

    @property
    def over(self) -> bool:
        done = all(self._is_done(t.name) for t in self._graph.tasks)
        return done or (self.failed and not self._active)

    def ended(self, pod: Pod) -> None:
        self._over.append(pod)
        self.touch(self._delays.requeue_s)

    def touch(self, delay_s: float) -> None:
        """Look at the workflow after this time, unless it is looked at before."""
        when = max(self._clock.now + delay_s, self._busy_s)
        if self._due_s is None or when < self._due_s:
            self._due_s = when
            self._clock.at(when, partial(self._look, when))

    def _look(self, when: float) -> None:
        if self._due_s != when:
            return
        self._due_s = None
        ended, self._over = self._over, []
        for pod in ended:
            self._notice(pod)
        while any(self._open(t) for t in self._graph.tasks):  # a task without parts opens others
            pass
        self._create()

    def _notice(self, pod: Pod) -> None:
        pod.noticed_s = self._clock.now
        self._active -= 1
        if not pod.exit_code:
            self._left[pod.task.name] -= 1
            return
        pause_s = pod.task.template.retries.pause_s(pod.exit_code, pod.attempt + 1)
        if pause_s is None:
            self.failed = True
        else:
            self._clock.at(self._clock.now + pause_s, partial(self._again, pod))

    def _again(self, pod: Pod) -> None:
        self._todo.appendleft(Pod(pod.task, pod.part, pod.attempt + 1, pod.mib, self._clock.now))
        self.touch(0.0)

    def _is_done(self, name: str) -> bool:
        return self._left.get(name) == 0

    def _open(self, task: Task) -> bool:
        """Begin with a task if all before it are done; whether it has begun."""
        if task.name in self._left or not all(map(self._is_done, task.after)):
            return False
        # an approval that nobody asked for takes no time
        parts = self._parts(task) if task.template.image else []
        self._left[task.name] = len(parts)
        mib = min(float(str(self._value(task.mib))), task.template.most_mib)
        self._todo.extend(Pod(task, part, 0, mib, self._clock.now) for part in parts)
        return True

    def _parts(self, task: Task) -> list[int]:
        if task.parts is None:
            return [0]
        items = self._value(task.parts)
        assert isinstance(items, tuple)
        return list(range(len(items)))

    def _value(self, of: Output | float) -> object:
        return self._results[of.task][of.name] if isinstance(of, Output) else of

    def _create(self) -> None:
        while self._todo and self._active < self._graph.parallelism and not self.failed:
            pod, self._busy_s = self._todo.popleft(), self._allowed_s()
            self._active += 1
            self._clock.at(self._busy_s, partial(self._created, pod))

    def _allowed_s(self) -> float:
        """When the client to the API server lets the next request pass."""
        each_s, now = 1 / self._delays.pods_per_s, self._clock.now
        when = max(now, self._paid_s - (self._delays.burst - 1) * each_s)
        self._paid_s = max(self._paid_s, now) + each_s
        return when

    def _created(self, pod: Pod) -> None:
        pod.created_s = self._clock.now
        self.pods.append(pod)
        self.make(pod)
        self.touch(self._delays.requeue_s)


@dataclass(frozen=True)
class Run:
    """What happened: all tries of all parts in the order of their creation, all nodes, and when the workflow ended."""

    pods: tuple[Pod, ...]
    nodes: tuple[Node, ...]
    ended_s: float
    succeeded: bool


def _units(step: Step, stack: Stack, work: Mapping[str, Work], pipeline: Pipeline) -> list[list[Segment]]:
    """The units of each part of a step; a joined step has one part, which does all units of its steps."""
    if step.steps:
        parts = (part for name in step.steps for part in _units(pipeline[name], stack, work, pipeline))
        return [[unit for part in parts for unit in part]]
    whole = work.get(step.name, Work())
    return [[Segment.of(whole.cpu_s * s, whole.wait_s * s, 1) for s in part] for part in stack.shares(step)]


def simulate(
    graph: Graph, stack: Stack, site: Site, work: Mapping[str, Work], pipeline: Pipeline, seed: int = 0
) -> Run:
    """One run of a stack on a cluster; `work` is that of whole steps. The same arguments give the same run."""
    clock, delays = Clock(), site.delays
    results = {step: result.outputs for step, result in stack.results.items()}
    controller = Controller(clock, delays, graph.taken(results), results)
    cluster = Cluster(clock, site, seed)
    units = {step.name: _units(step, stack, work, pipeline) for step in (*pipeline.all_steps, *pipeline.joined_steps)}
    done: dict[tuple[str, int], int] = {}

    def make(pod: Pod) -> None:
        before, own = done.setdefault((pod.task.name, pod.part), 0), units[pod.task.template.name]
        # a fan-out of one's own has no units; its work is not known
        pod.segments = starts(delays, own[pod.part][before:] if pod.part < len(own) else [Segment(0.0, units=1)])
        cluster.take(pod)

    def ended(pod: Pod) -> None:
        done[pod.task.name, pod.part] += pod.units
        controller.ended(pod)

    cluster.ended, controller.make = ended, make
    clock.run(lambda: controller.over, graph.deadline_s)
    return Run(tuple(controller.pods), tuple(cluster.nodes), clock.now, controller.over and not controller.failed)
