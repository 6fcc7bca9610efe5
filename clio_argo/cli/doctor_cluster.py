"""Checks of a cluster: whether it runs workflows, and what this account may do there."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clio_argo.argo import health
from clio_argo.argo.client import Client
from clio_argo.argo.demands import node_problems
from clio_argo.argo.faults import Refused
from clio_argo.argo.follow import UNTAKEN_S, NoController, untaken
from clio_argo.argo.nodes import Json
from clio_argo.argo.summary import Summary, summarise
from clio_argo.argo.templates import current_template, selector
from clio_argo.cli.doctor_namespace import lacking, look_at_demands, look_at_namespace
from clio_argo.cli.doctor_store import SET_CLOCK, clock, location
from clio_argo.cli.findings import Finding, Inconclusive, look
from clio_argo.cli.options import Cluster
from clio_argo.errors import UserError
from clio_argo.model.base import counted

if TYPE_CHECKING:
    from clio_argo.argo.kube import KubeClient

KINDS = {"workflows", "workflowtemplates", "workflowtaskresults"}
REACH = "look at KUBECONFIG or ARGO_SERVER, at the network (VPN), and whether the cluster runs"
ASK = "ask an administrator for the role clio-argo-submitter of the namespace, or name another one with -n"
MOVE = "make the bucket where the nodes are: reading across regions costs money for every byte, and time"
REGISTRY = "look at images and imagePullSecrets of the installation, and whether nodes reach the registry"


def look_at_cluster(cluster: Cluster, run: str | None) -> Iterator[Finding]:
    """Check everything from the network to the nodes. Argo Server shows less than a kubeconfig."""
    reached: list[Client] = []
    yield look("cluster", lambda: _reach(cluster, reached), REACH)
    if not reached:
        return
    client, kube = reached[0], _kubernetes(reached[0])
    if kube:
        yield from _look_at_kubernetes(kube)
        namespace = look_at_namespace(kube)
        yield namespace
        if namespace.verdict == "WRONG":
            return
    template: list[Json] = []
    yield look("cluster: template", lambda: _template(client, template))
    yield look("cluster: controller", lambda: _picked_up(client))
    if kube and template:
        yield from look_at_demands(kube, template[0], run)
        yield look("cluster: images", lambda: _images(kube, template[0]), REGISTRY)
        yield look("cluster: nodes", lambda: _workers(kube, template[0]))
    if run:
        yield look_at_region(client, run)


def look_at_region(client: Client, run: str) -> Finding:
    """Check that the bucket is in the region of the nodes."""
    return look("cluster: region", lambda: _near(_kubernetes(client), run), MOVE)


def _reach(cluster: Cluster, reached: list[Client]) -> str:
    client = cluster.connect()
    server = client.about()
    reached.append(client)
    return f"{server}, namespace {client.namespace}"


def _kubernetes(client: Client) -> "KubeClient | None":
    from clio_argo.argo.kube import KubeClient

    return client if isinstance(client, KubeClient) else None


def _look_at_kubernetes(client: "KubeClient") -> Iterator[Finding]:
    from clio_argo.argo.manifests import approver_rules, submitter_rules

    yield look("cluster: clock", lambda: clock(client.told_time()), SET_CLOCK)
    yield look("cluster: Argo", lambda: _argo(client))
    yield look("cluster: submit", lambda: _may_submit(client, submitter_rules()), ASK)
    yield look("cluster: decide", lambda: _may_decide(client, approver_rules()))


def _argo(client: "KubeClient") -> str:
    if missing := ", ".join(sorted(KINDS - client.kinds())):
        raise UserError(f"{client.place}: lacks {missing}: install all of Argo Workflows 3.7 or 4")
    return "its custom resources are there"


def _may_submit(client: "KubeClient", rules: Sequence[Json]) -> str:
    if lacks := lacking(rules, client.may):
        raise UserError(f"not allowed in namespace {client.namespace}: {lacks}")
    return "submitting and watching are allowed"


def _may_decide(client: "KubeClient", rules: Sequence[Json]) -> str:
    if lacks := lacking(rules, client.may):
        raise Inconclusive(f"approving, stopping and deleting are for others (not allowed: {lacks})")
    return "approving, stopping and deleting are allowed"


def _template(client: Client, template: list[Json]) -> str:
    template.append(current_template(client))
    return str(template[0]["metadata"]["name"])


def _picked_up(client: Client) -> str:
    workflows = [summarise(w) for w in client.find(selector())]
    if left := [w for w in workflows if not w.phase and _age_s(w) > UNTAKEN_S]:
        raise NoController(untaken(client.namespace, left[0].name))
    if not workflows:
        raise Inconclusive("there is no workflow yet that could show it")
    return f"{counted(len(workflows), 'workflow', 'was', 'were')} picked up"


def _age_s(summary: Summary) -> float:
    return (datetime.now(UTC) - summary.created).total_seconds() if summary.created else 0.0


def _nodes(client: "KubeClient") -> list[Json]:
    try:
        return list(client.core("list_node")["items"])
    except Refused as error:
        raise Inconclusive("nodes may not be listed by this account") from error


def _images(client: "KubeClient", template: Json) -> str:
    pods = client.core("list_namespaced_pod", client.namespace)["items"]
    if refused := health.unpulled(pods):
        raise UserError("; ".join(refused))
    images = {health.short(image) for image in health.images_of(template)}
    if missing := images - health.pulled(_nodes(client), pods):
        raise Inconclusive(f"no node holds {', '.join(sorted(missing))} yet; the first pod pulls it")
    return ", ".join(sorted(images))


def _workers(client: "KubeClient", template: Json) -> str:
    workers, nodes = health.workers_of(template), _nodes(client)
    fitting = [n for n in nodes if health.fits(n, workers)]
    if problems := list(node_problems(template, nodes)):
        raise UserError("; ".join(problems))
    if not fitting:
        labels = workers.get("nodeSelector")
        raise Inconclusive(f"no node takes worker pods now ({labels}); autoscaling may add some")
    taking = counted(len(fitting), "node", "takes", "take")
    return f"{taking} worker pods, the largest has {health.largest_mib(fitting)} MiB for them"


def _near(client: "KubeClient | None", run: str) -> str:
    if not client:
        raise Inconclusive("Argo Server does not show nodes")
    regions, place = health.regions_of(_nodes(client)), location(run)
    if not regions:
        raise Inconclusive(f"the nodes have no label of a region; the bucket is in {place}")
    if health.apart(regions, place):
        raise UserError(f"{run} is in {place}, the nodes are in {', '.join(sorted(regions))}")
    return f"{run} is in {place}, where nodes are"
