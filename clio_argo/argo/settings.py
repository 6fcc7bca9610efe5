"""How the workflow fits a cluster. The schema of these settings is also the Helm chart's."""

import re
from importlib.metadata import version
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from clio_argo.errors import UserError
from clio_argo.model.base import Value

NAME = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?"
Duration = Annotated[str, Field(pattern=r"^[0-9]+[smh]$")]  # Argo takes no days
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|[KMGT]i?)?$")]
SPOT = "cloud.google.com/gke-spot"


def _named(value: str) -> str:
    if not re.fullmatch(NAME, value) or len(value) > 63:
        raise ValueError("must be a name of Kubernetes: lower case, digits, '-' and '.', at most 63")
    return value


Name = Annotated[str, AfterValidator(_named)]


class Setting(Value):
    """Known by its name here and, in the chart's values, by the same name in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Image(Setting):
    """A container image. The digest wins over the tag."""

    repository: str = Field(min_length=1, description="Registry and name, without a tag.")
    tag: str = Field(version("clio-argo"), description="Default: this version. Never `latest`.")
    digest: str | None = Field(
        None, pattern=r"^sha256:[0-9a-f]{64}$", description="What was tested, whatever the tag becomes."
    )

    @model_validator(mode="after")
    def _fixed(self) -> Self:
        if self.digest is None and self.tag in ("", "latest"):
            raise ValueError("give a tag other than `latest`, or a digest: a run must not change its image")
        return self

    @property
    def reference(self) -> str:
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"


class Account(Setting):
    """A service account."""

    name: Name
    annotations: dict[str, str] = Field(
        {}, description="For Workload Identity: iam.gke.io/gcp-service-account: NAME@PROJECT.iam.gserviceaccount.com"
    )


class Accounts(Setting):
    """One service account per need."""

    worker: Account = Field(Account(name="clio-argo-worker"), description="Reads the source, writes the run.")
    notifier: Account = Field(Account(name="clio-argo-notifier"), description="Reads the run.")
    executor: Account = Field(
        Account(name="clio-argo-executor"),
        description="Argo's own container beside each step; its token is in no step's container.",
    )
    submitter: Account = Field(Account(name="clio-argo-submitter"), description="Submits and watches, no more.")
    approver: Account = Field(
        Account(name="clio-argo-approver"), description="Submits, watches, decides, stops and deletes."
    )


class Toleration(Setting):
    """As in a pod."""

    key: str
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class Placement(Setting):
    """Where pods go."""

    node_selector: dict[str, str] = Field({}, description="Labels that the node must have.")
    tolerations: tuple[Toleration, ...] = Field((), description="Taints that the pod puts up with.")


class Volume(Setting):
    """A volume of all steps, for sources and runs that lie on a file system."""

    name: Name
    mount_path: str = Field(pattern="^/", description="Where all containers see it.")
    read_only: bool = False
    source: dict[str, Any] = Field(
        description="One volume source as in a pod, e.g. persistentVolumeClaim: {claimName: slices}."
    )


class Retries(Setting):
    """What is tried again: preemption, eviction, lost nodes, out of memory, exit 75; never a user's error."""

    limit: int = Field(
        5, ge=0, le=20, description="Tries after the first. A spot node that is gone five times is a bad pool."
    )
    wait: Duration = Field("10s", description="Before the first retry; doubled each time.")
    longest: Duration = Field("30m", description="No retry starts later than this after the first try.")


class Cleanup(Setting):
    """When the cluster forgets. The run's own documents stay in its store."""

    pod_delay: Duration = Field("60s", description="A pod that succeeded goes after this; logs are archived.")
    success_days: int = Field(7, ge=0, description="A workflow that succeeded goes after this.")
    failure_days: int = Field(30, ge=0, description="One that failed stays longer, to be looked at.")


class Artifacts(Setting):
    """Where Argo keeps reports and logs."""

    kind: Literal["gcs", "s3"] = "gcs"
    bucket: str | None = Field(None, description="Default: the bucket of the controller's own artifact repository.")
    prefix: str = Field("clio-argo/{{workflow.name}}", description="Key of a workflow's artifacts.")


class Approval(Setting):
    """Whether a person looks before the expensive part."""

    default: Literal["automatic", "ask"] = Field("automatic", description="What a submission gets that asks for none.")
    wait: Duration = Field("72h", description="How long a person has to decide: a weekend.")
    otherwise: Literal["approve", "reject"] = Field("reject", description="What happens when nobody decided.")


class ClusterSettings(Setting):
    """Everything about a cluster that the emitted documents depend on."""

    namespace: Name | None = Field(None, description="Default: the one that kubectl or helm is told.")
    images: dict[str, Image] = Field(
        {n: Image(repository=f"clio-argo-{n}") for n in ("align", "write")},
        description="The image of each kind of step.",
    )
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    image_pull_secrets: tuple[Name, ...] = ()
    require_digests: bool = Field(False, description="Refuse images without a digest.")
    accounts: Accounts = Field(Accounts(), description="Service accounts.")
    uid: int = Field(65532, ge=1, description="User and group of all steps; the images' own.")
    workers: Placement = Field(Placement(), description="Where the parts of the big stages run.")
    others: Placement = Field(Placement(), description="Where all else runs.")
    worker_annotations: dict[str, str] = Field({}, description="Annotations of the workers' pods.")
    priority_class: Name | None = Field(None, description="Priority class of all pods.")
    parallelism: int = Field(
        100, ge=1, description="Pods at once in one workflow: what a pool of 25 nodes with 4 cores holds."
    )
    cpu: Quantity | None = Field(None, description="Request of every step instead of its own; for small clusters.")
    memory_max_mib: int = Field(
        12288, ge=256, description="What a worker node can give one pod: of a node with 16 GiB, 12 are left."
    )
    tmp_size: Quantity = Field("2Gi", description="Limit of /tmp, the only place that a step can write to.")
    env: dict[str, str] = Field({}, description="Environment of all steps.")
    volumes: tuple[Volume, ...] = ()
    labels: dict[str, str] = Field({}, description="More labels on everything.")
    retries: Retries = Retries()
    step_timeout: Duration = Field(
        "12h", description="Of one try, waiting for a node included: a pod that fits nowhere waits for ever otherwise."
    )
    deadline_hours: int = Field(168, ge=1, description="Of a whole workflow, waiting for a person included: a week.")
    cleanup: Cleanup = Cleanup()
    artifacts: Artifacts | None = Field(
        Artifacts(), description="null: no reports and logs in Argo, for clusters without an artifact repository."
    )
    notification_secret: Name = Field(
        "clio-argo-notification",
        description="Secret with CLIO_SMTP_URL, CLIO_MAIL_FROM and CLIO_WEBHOOK_URL; without it nobody is told.",
    )
    approval: Approval = Approval()

    @classmethod
    def gke(cls, **settings: Any) -> Self:
        """Workers on spot nodes of GKE, and images by digest."""
        spot = Toleration(key=SPOT, value="true", effect="NoSchedule")
        preset = {
            "workers": Placement(node_selector={SPOT: "true"}, tolerations=(spot,)),
            "worker_annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
            "require_digests": True,
        }
        return cls(**{**preset, **settings})

    def image(self, name: str) -> str:
        """Reference of the image that is called `name` here, or that `name` itself is."""
        reference = self.images[name].reference if name in self.images else name
        if self.require_digests and "@sha256:" not in reference:
            raise UserError(
                f"image {name} ({reference}) has no digest: set images.{name}.digest, so that a run keeps its image"
            )
        if name not in self.images and not re.search(r"@sha256:|:(?!latest$)[^:/]+$", reference):
            raise UserError(f"image {name}: give a digest or a tag other than latest")
        return reference
