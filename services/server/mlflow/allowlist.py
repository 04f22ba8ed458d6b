"""What of MLflow's server may be reached through the service: what its user interface needs to show studies, no more.

Everything that is not listed is refused, whatever a later MLflow adds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus

from convscout.services.http.problems import HTTPProblem

_READ = frozenset({"GET", "HEAD"})
_POST = frozenset({"POST"})
_ONE = r"[^/]+"  # a part of a path


@dataclass(frozen=True)
class AllowedRequest:
    """Requests with one of ``methods`` for a path, below ``/mlflow/``, that ``pattern`` matches as a whole."""

    methods: frozenset[str]
    pattern: str
    why: str

    def matches(self, method: str, path: str) -> bool:
        """Whether it is about such a request."""
        return method in self.methods and re.fullmatch(self.pattern, path) is not None


_V2, _V3 = "ajax-api/2.0/mlflow/", "ajax-api/3.0/mlflow/"

ARTIFACTS = (
    AllowedRequest(_READ, r"get-artifact", "a file of a run"),
    AllowedRequest(_READ, r"model-versions/get-artifact", "a file of a registered model"),
    AllowedRequest(_READ, rf"{_V2}logged-models/{_ONE}/artifacts/files", "a file of a model"),
)
"""Files that trials or people wrote, which are served so that a browser runs nothing of them."""

ALLOWED = (
    *ARTIFACTS,
    AllowedRequest(_READ, r"static-files/.+", "its scripts, styles and pictures"),
    AllowedRequest(_READ, r"version|health", "what the page says of its server"),
    AllowedRequest(_READ, rf"{_V3}(server-info|ui-telemetry)", "which of its parts the page shows; telemetry is off"),
    AllowedRequest(_READ | _POST, r"graphql", "how the page reads a run; MLflow's schema has no mutation that writes"),
    # reading
    AllowedRequest(_READ, rf"{_V2}experiments/(get|get-by-name|search)", "experiments"),
    AllowedRequest(_POST, rf"{_V2}experiments/(search|search-datasets)", "experiments, and the data of their runs"),
    AllowedRequest(_READ, rf"{_V2}runs/get", "a run"),
    AllowedRequest(_POST, rf"{_V2}runs/search", "runs"),
    AllowedRequest(_READ, rf"{_V2}metrics/get-history(-bulk(-interval)?)?", "learning curves"),
    AllowedRequest(_READ, rf"{_V2}artifacts/list", "the files of a run"),
    AllowedRequest(_READ, rf"{_V2}logged-models/{_ONE}(/artifacts/directories)?", "a model and its files"),
    AllowedRequest(_POST, rf"{_V2}logged-models/search", "models of an experiment"),
    AllowedRequest(
        _READ,
        rf"{_V2}(registered-models|model-versions)/(get|search|get-latest-versions)",
        "the model registry",
    ),
    AllowedRequest(_READ, rf"{_V2}registered-models/alias", "the model registry"),
    AllowedRequest(_POST, rf"{_V3}traces/(search|metrics)", "traces of a run, of which there are none"),
    AllowedRequest(
        _READ,
        rf"{_V2}gateway-proxy",
        "that there is no gateway: without a target, the answer is an empty list",
    ),
    # what a person may change: nothing a study depends on, as the ledger owns the truth and mends its projection
    AllowedRequest(_POST, rf"{_V2}experiments/(set-experiment-tag|delete-experiment-tag)", "notes, tags and views"),
    AllowedRequest(_POST, rf"{_V2}experiments/(delete|restore)", "the next sync restores one that is deleted"),
    AllowedRequest(_POST, rf"{_V2}runs/(set-tag|delete-tag)", "notes and tags"),
    AllowedRequest(_POST, rf"{_V2}runs/(delete|restore)", "the next sync makes one that is deleted anew"),
    AllowedRequest(_POST, rf"{_V2}(registered-models|model-versions)/set-tag", "tags"),
    AllowedRequest(frozenset({"DELETE"}), rf"{_V2}(registered-models|model-versions)/delete-tag", "tags"),
    AllowedRequest(frozenset({"PATCH"}), rf"{_V2}(registered-models|model-versions)/update", "descriptions"),
    AllowedRequest(frozenset({"POST", "DELETE"}), rf"{_V2}registered-models/alias", "which version is to be used"),
)

REFUSED = (
    AllowedRequest(_POST, rf"{_V2}experiments/update", "an experiment is named after its study"),
    AllowedRequest(
        _POST, rf"{_V2}runs/(create|update|log-.*|outputs)", "runs are written from the study's ledger alone"
    ),
    AllowedRequest(
        frozenset({"POST", "PUT", "DELETE"}),
        rf"{_V2}upload-artifact|.*mlflow-artifacts/.*|.*presigned.*",
        "files are written by studies alone",
    ),
    AllowedRequest(
        frozenset({"POST", "DELETE"}),
        rf"{_V2}(registered-models|model-versions)/(create|delete|rename|transition-stage)",
        "models are registered under the names of their studies, by these",
    ),
    AllowedRequest(
        frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE"}), r".*webhooks.*", "a webhook calls any address"
    ),
    AllowedRequest(
        frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}),
        r".*(gateway|assistant|/jobs|prompt-optimization|scorers?|genai).*",
        "the service runs nothing for MLflow, and keeps no keys of language models",
    ),
)
"""Why some of the rest is refused, for who asks."""
_OTHERWISE = "is not among what a study is looked at with"


def permit(method: str, path: str) -> None:
    """Raise ``HTTPProblem`` unless the user interface needs such a request; ``path`` is decoded, below ``/mlflow/``."""
    if any(part in ("", ".", "..") for part in path.split("/")[:-1]) or path.endswith(".."):
        raise HTTPProblem.of(HTTPStatus.FORBIDDEN, "path", path, "must lead straight to something")
    if any(rule.matches(method, path) for rule in ALLOWED):
        return
    why = next((rule.why for rule in REFUSED if rule.matches(method, path)), _OTHERWISE)
    raise HTTPProblem.of(HTTPStatus.FORBIDDEN, "path", path, f"MLflow's {method} of it is not passed on: {why}")


def is_artifact(path: str) -> bool:
    """Whether a file that somebody wrote is read."""
    return any(rule.matches("GET", path) for rule in ARTIFACTS)
