"""Checks of a namespace: whether it has what the template's pods demand, and would admit them."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from clio_argo.argo import demands
from clio_argo.argo.faults import NotFound, Refused
from clio_argo.argo.nodes import Json
from clio_argo.cli.findings import Finding, Inconclusive, look
from clio_argo.errors import ClioError, UserError
from clio_argo.store.documents import split_url

if TYPE_CHECKING:
    from clio_argo.argo.kube import KubeClient

T = TypeVar("T")
INSTALL = "clio-argo install -n {0} (or helm upgrade) makes it again"
CONTROLLER, REPOSITORIES = "workflow-controller-configmap", "artifact-repositories"
PLACE = (
    "set artifacts.bucket of the installation, or artifacts: null, which keeps neither, or configure the controller's "
    "artifactRepository"
)
NAMED = "metadata.name={}"


def look_at_namespace(client: "KubeClient") -> Finding:
    """Check that the namespace is there: all else is missing without it."""
    make = f"kubectl create namespace {client.namespace}, then clio-argo install -n {client.namespace}"
    return look("cluster: namespace", lambda: _present(client), make)


def _present(client: "KubeClient") -> str:
    try:
        labels = _namespace(client)["metadata"].get("labels") or {}
    except NotFound as error:
        raise UserError(f"there is no namespace {client.namespace}") from error
    return f"{client.namespace} is there, Pod Security {labels.get(demands.ENFORCED, 'privileged')}"


def look_at_demands(client: "KubeClient", template: Json, run: str | None) -> Iterator[Finding]:
    """Check accounts, secrets, priority class, quotas, limits, Pod Security and the place of reports."""
    again = INSTALL.format(client.namespace)
    yield look("cluster: accounts", lambda: _accounts(client, template), again)
    yield look("cluster: executor", lambda: _executor(client, template), again)
    yield look("cluster: notifier", lambda: _notifier(client, template, run), "let it read the run's bucket")
    yield look("cluster: secrets", lambda: secrets_there(client, template), f"{again}; others are yours to make")
    yield look("cluster: priority class", lambda: _priority(client, template), "make it, or set another priorityClass")
    yield look("cluster: quota", lambda: _quota(client, template), "ask who set the quota of the namespace")
    yield look("cluster: limits", lambda: _limits(client, template), "ask who set the LimitRange of the namespace")
    yield look("cluster: Pod Security", lambda: _security(client, template), "set other volumes of the installation")
    yield look("cluster: reports", lambda: _reports(client, template), PLACE)


def _seen(what: str, ask: Callable[[], T]) -> T:
    """What a question finds. Raises `Inconclusive` where this account may not ask it."""
    try:
        return ask()
    except Refused as error:
        raise Inconclusive(f"{what} may not be seen by this account") from error


def _namespace(client: "KubeClient") -> Json:
    return _seen("the namespace", lambda: client.core("read_namespace", client.namespace))


def _listed(client: "KubeClient", what: str, name: str = "", everywhere: bool = False) -> list[Json]:
    """Objects of a kind of the namespace, which the caller may not be allowed to see."""
    options = {"field_selector": NAMED.format(name)} if name else {}
    call, scope = (
        (f"list_{what}_for_all_namespaces", ()) if everywhere else (f"list_namespaced_{what}", (client.namespace,))
    )
    return list(_seen(what.replace("_", " "), lambda: client.core(call, *scope, **options))["items"])


def _accounts(client: "KubeClient", template: Json) -> str:
    names = demands.accounts_of(template)
    missing = demands.absent(names.values(), _listed(client, "service_account"))
    return _sound([f"there is no account {name}" for name in missing], ", ".join(names.values()))


def _executor(client: "KubeClient", template: Json) -> str:
    from clio_argo.argo.manifests import executor_rules

    account = demands.accounts_of(template).get("executor", "default")
    lacks = _seen("rights of accounts", lambda: lacking(executor_rules(), partial(client.may, account=account)))
    if lacks:
        raise UserError(f"account {account} may not {lacks}, so that Argo does not hear how a step ends")
    return f"{account} may report how steps end"


def lacking(rules: Sequence[Json], may: Callable[[str, str, str], bool]) -> str:
    """What of the rules of a role is not allowed, by what answers for (verb, group, resource); empty if nothing."""
    rights = ((v, r["apiGroups"][0], name) for r in rules for name in r["resources"] for v in r["verbs"])
    return ", ".join(f"{verb} {name}" for verb, group, name in rights if not may(verb, group, name))


def _notifier(client: "KubeClient", template: Json, run: str | None) -> str:
    accounts = _listed(client, "service_account")
    problems = demands.identity_problems(template, accounts)
    problems += demands.grant_problems(template, accounts, client.namespace, _members(run or ""))
    return _sound(problems, "nothing is granted to the workers and not to it")


def _members(run: str) -> set[str]:
    """Everybody to whom the run's bucket is granted, as far as this account may see them."""
    from clio_argo.store.buckets import Bucket

    try:
        return Bucket(split_url(run)[1]).members() if run.startswith("gs://") else set()
    except ClioError:
        return set()


def secrets_there(client: "KubeClient", template: Json) -> str:
    """The secrets that the template's pods need.

    Raises:
        UserError: names those that are missing or empty.
        Inconclusive: this account may not see secrets.
    """
    needed = demands.secrets_of(template)
    secrets = _seen("secret", lambda: client.secrets(needed))
    return _sound(demands.token_problems(template, secrets), ", ".join(needed))


def _priority(client: "KubeClient", template: Json) -> str:
    name = template["spec"].get("podPriorityClassName")
    if name and name not in _seen("priority classes", client.priority_classes):
        raise UserError(f"the cluster has no priority class {name}, so that no pod is made")
    return name or "none is asked for"


def _quota(client: "KubeClient", template: Json) -> str:
    quotas, ranges = _listed(client, "resource_quota"), _listed(client, "limit_range")
    try:
        executor = demands.executor_of(_controllers(client))
    except Inconclusive:
        executor = {}
    return _sound(demands.quota_problems(template, quotas, ranges, executor), f"{len(quotas)} of the namespace")


def _limits(client: "KubeClient", template: Json) -> str:
    ranges = _listed(client, "limit_range")
    return _sound(demands.range_problems(template, ranges), f"{len(ranges)} LimitRange of the namespace")


def _security(client: "KubeClient", template: Json) -> str:
    return _sound(demands.security_problems(template, _namespace(client)), "the template's volumes are allowed")


def _reports(client: "KubeClient", template: Json) -> str:
    repositories = _listed(client, "config_map", REPOSITORIES)
    problems = demands.repository_problems(template, repositories, _controllers(client))
    return _sound(problems, "reports and logs have a place, or none is asked for")


def _controllers(client: "KubeClient") -> list[Json]:
    return _listed(client, "config_map", CONTROLLER, everywhere=True)


def _sound(problems: Sequence[str], found: str) -> str:
    if problems:
        raise UserError("; ".join(problems))
    return found
