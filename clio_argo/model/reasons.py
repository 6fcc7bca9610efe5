"""Why a node of a workflow failed: Argo's messages, in words for people."""

import re

# of Argo's container beside the step, which keeps artifacts and logs, and names no setting of ours
KEEPER = "wait: Error (exit code 64): "
NOT_KEPT = (
    "Argo's own container could not keep what the step left: look at the installation's setting artifacts, and at the "
    "artifactRepository of Argo's controller"
)
# Argo writes the container's name, the verdict and the exit code before the container's own words
VERDICT = re.compile(r"^\w+: (?:Error|OOMKilled) \(exit code \d+\)(?:: )?", re.DOTALL)
# that a node ended, but not why
NO_CAUSE = re.compile(
    r"|pod deleted.*|(main: )?Error \(exit code (137|143)\)(: stopped by SIGTERM.*)?|stopped by SIGTERM.*"
    r"|No more retries left|.*retryStrategy\.expression evaluated to false|workflow shutdown with strategy.*"
    r"|child .* failed",
    re.DOTALL,
)
# Argo's words for a limit, and the setting of the installation that holds it
LIMITS = (
    (re.compile(r"exceeded (its|workflow) deadline"), "deadlineHours"),
    (re.compile(r"longer than the specified deadline|^timeout$"), "stepTimeout"),
    (re.compile(r"^Max duration limit exceeded$"), "retries.longest"),
)


def names_cause(message: str) -> bool:
    """Whether the message tells why a node ended, not only that it did."""
    return not NO_CAUSE.fullmatch(message)


def reason(message: str) -> str:
    """The container's own words, or Argo's with the name of the setting if they speak of a limit."""
    words = VERDICT.sub("", message).strip() or message
    if message.startswith(KEEPER):
        return f"{words}; {NOT_KEPT}"
    setting = next((name for limit, name in LIMITS if limit.search(words)), None)
    return f"{words} (setting {setting} of the installation)" if setting else words
