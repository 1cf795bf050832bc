"""Files that are no deployment: what they are, and the command that gives what can be read."""

import re
from collections.abc import Mapping, Sequence

from dsr1.hosts.errors import InputError
from dsr1.launcher.importing.manifest.services import GraphService

_HELM = re.compile(
    r"\{\{-?\s*(?:(?:range|if|else|end|with|include|define|template|block|toYaml|tpl|printf|\$\w*)\b"
    r"|\.(?:Values|Release|Chart|Files|Capabilities|[a-z]\w*)\b)"
)
_DGD = "`kubectl get dgd NAME -o yaml` gives the deployment that runs"
KINDS: Mapping[str, str] = {
    "Kustomization": "`kubectl kustomize FOLDER` gives the whole deployment",
    "Chart": "`helm template FOLDER` gives the manifests",
    "HelmRelease": "`helm get manifest NAME` gives what it installed",
    "Job": f"a job runs once and serves nothing; {_DGD}",
    "CronJob": f"a job serves nothing; {_DGD}",
    "DynamoGraphDeploymentRequest": f"Dynamo's planner makes a deployment of it; {_DGD}",
    "DynamoComponentDeployment": f"it is a part of one; {_DGD}",
    "Deployment": f"it says nothing of Dynamo's roles; {_DGD}",
    "StatefulSet": f"it says nothing of Dynamo's roles; {_DGD}",
    "Pod": f"it is a part of one; {_DGD}",
}
"""By the kind of an object that stands in the place of a deployment."""


def refuse_template(text: str, source: str) -> None:
    """Helm's language is no YAML."""
    for number, line in enumerate(text.splitlines(), 1):
        if _HELM.search(line):
            raise InputError(
                f"{source}:{number}: a Helm template, whose values are not in the file;"
                " `helm template CHART -f VALUES` gives what dsr1 import reads"
            )


def refuse_patch(services: Sequence[GraphService], source: str) -> None:
    """A part of a deployment, which kustomize lays over another: nothing says what would run."""
    workers = [service for service in services if service.kind == "worker"]
    if workers and not any(_says_what_runs(service) for service in services):
        raise InputError(
            f"{source}: a patch: none of its services has an image, a command or arguments;"
            " `kubectl kustomize FOLDER` gives the whole deployment, or `kubectl get dgd NAME -o"
            " yaml` the one that runs"
        )


def _says_what_runs(service: GraphService) -> bool:
    return any(service.container.get(key) is not None for key in ("image", "command", "args"))
