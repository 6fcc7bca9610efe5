"""When a pod that ended badly is tried again."""

from hera import workflows as w
from hera.workflows import models as m

from clio_argo.argo.settings import Retries

# 75: a fault that passes. 137, 143: out of memory, or the node goes. 128: the node could not start the container. 0:
# the step is done, but Argo's container beside it was killed. 255: the node restarted. -1: the pod was rejected or
# evicted before it had a container.
PASSING = "['-1', '0', '75', '128', '137', '143', '255']"
# the limit of a try, in the words of Kubernetes, and that of the workflow; containers end with 137 or 143 then, too
TOO_LONG = "(specified|its) deadline"
# What Kubernetes will refuse again (account, priority class, policy), and artifacts that Argo cannot save anywhere:
# neither bucket nor permission appears by itself. Argo tries passing faults of both again by itself.
REFUSED = (
    f"is (forbidden|invalid)|(Error|code) 40[0134]|bucket does not exist|Access ?Denied|artifact location|{TOO_LONG}"
)
# A pod that is deleted, or that Argo could neither start nor watch, is an Error without an exit code of its step. Any
# other code is for a person to act on.
RETRIED = (
    f"lastRetry.status == 'Error' ? not (lastRetry.message matches '{REFUSED}') : "
    f"lastRetry.exitCode in {PASSING} and not (lastRetry.message matches '{TOO_LONG}')"
)
# what the next try records for the report: of itself a pod that is taken away tells nothing
LOST = (
    "{{=asInt(retries) == 0 ? '' : lastRetry.exitCode == '75' ? 'fault' : "
    "lastRetry.message matches 'OOMKilled|not enough memory' ? 'memory' : 'preempted'}}"
)


def retry_strategy(retries: Retries, endless: bool = False) -> w.RetryStrategy:
    """The tries of a step's part; of one that is `endless` as many as nodes go, at one pause.

    They have no limit in time (`maxDuration`): Argo counts from the first one, its wait for a node included, so that a
    part that waited for a spot node would not be tried once more.
    """
    # doubled 30 times, a pause is more than Argo can count
    factor = m.IntOrString(root=1 if endless else 2)
    backoff = m.Backoff(duration=retries.wait, factor=factor, cap=retries.longest)
    # Always: OnError misses a reclaimed spot node, whose pod is Failed with 137 or 143
    return w.RetryStrategy(
        limit=None if endless else str(retries.limit), retry_policy="Always", expression=RETRIED, backoff=backoff
    )
