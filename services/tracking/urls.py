"""Where things are shown behind the service's one address: paths, as that address may change."""

from __future__ import annotations

from urllib.parse import quote

MLFLOW = "/mlflow"
"""What the paths of MLflow's user interface begin with."""

VIEW = "convscout"
"""The name of the view that shows what matters of a study's runs, and its key in addresses."""

_LAYOUT = "workflowType=machine_learning"  # else its pages are those for language models


def study_page(study: str) -> str:
    """The service's page of a study."""
    return f"/studies/{quote(study, safe='')}"


def trial_page(study: str, number: int) -> str:
    """The service's page of a trial."""
    return f"{study_page(study)}/trials/{number}"


def experiment_page(experiment_id: str, view: str) -> str:
    """MLflow's table of an experiment's runs, with the columns that ``view`` names."""
    return f"{MLFLOW}/#/experiments/{experiment_id}/runs?viewStateShareKey={view}&{_LAYOUT}"


def run_page(experiment_id: str, run_id: str) -> str:
    """MLflow's page of a run."""
    return f"{MLFLOW}/#/experiments/{experiment_id}/runs/{run_id}?{_LAYOUT}"


def model_page(name: str) -> str:
    """MLflow's page of a registered model."""
    return f"{MLFLOW}/#/models/{quote(name, safe='')}?{_LAYOUT}"
