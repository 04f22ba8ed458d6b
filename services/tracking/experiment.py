"""What the experiment of a study says of it, and which columns its table of runs shows: a pure function to tags."""

from __future__ import annotations

import json

from mlflow.utils.mlflow_tags import (
    MLFLOW_EXPERIMENT_PRIMARY_METRIC_GREATER_IS_BETTER,
    MLFLOW_EXPERIMENT_PRIMARY_METRIC_NAME,
    MLFLOW_RUN_NOTE,
)

from convscout.services.config.study_config import StudyConfig
from convscout.services.tracking.projection import describe, home_and_study
from convscout.services.tracking.source import TrackedStudy
from convscout.services.tracking.urls import VIEW
from convscout.trials.evaluation.qualities import QUALITIES

COLUMNS = (
    "metrics.`score`",
    "tags.`family`",
    "metrics.`complexity.params`",
    "tags.`state`",
    "tags.`reason`",
    "metrics.`val_accuracy`",
    "metrics.`epoch`",
)
_KIND_TAG = "mlflow.experimentKind"
_VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
_DATA_TAG = "data"


def experiment_tags(source: TrackedStudy) -> dict[str, str]:
    """The study's description, its data, what its trials are ranked by, and the view of its runs."""
    quality = QUALITIES[source.config.objective[0]]
    return {
        _KIND_TAG: "custom_model_development",  # else the user interface opens for language models
        MLFLOW_RUN_NOTE: describe(source),
        MLFLOW_EXPERIMENT_PRIMARY_METRIC_NAME: "score",
        MLFLOW_EXPERIMENT_PRIMARY_METRIC_GREATER_IS_BETTER: str(quality.maximize),
        **home_and_study(source.ref),
        _DATA_TAG: source.config.data,
        _VIEW_TAG: _view(source.config),
    }


def _view(config: StudyConfig) -> str:
    """A saved view of MLflow's: offered in the menu "Views", and opened by an address that holds its key.

    Which columns a table shows at first is kept by each browser alone; no tag changes that without a view.
    """
    state = {
        "selectedColumns": [*COLUMNS, *(f"metrics.`cost.{name}`" for name in config.objective[1:])],
        # the best first; MLflow nests trials in their study only while it sorts by time, and then folds them away
        "orderByKey": COLUMNS[0],
        "orderByAsc": not QUALITIES[config.objective[0]].maximize,
    }
    return json.dumps({"name": VIEW, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})
