"""What the control plane answers with: studies, trials and jobs as REST gives them and pages show them."""

from __future__ import annotations

import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from convscout.services.schemas.jobs import JobKind, JobState
from convscout.services.schemas.study_status import StudyStatus
from convscout.trials.end_reason import EndReason

PHASE = Field(
    default="contender",
    description="How thoroughly it is trained: scout, contender, or control (the best known recipe).",
)
GROWN_FROM = Field(default=None, description="The scout that the contender has grown from.")


class Schema(BaseModel):
    """One of them."""

    model_config = ConfigDict(frozen=True)


class Best(Schema):
    """The best trial so far."""

    trial: int
    family: str
    score: float = Field(description="Of its best epoch on the validation images.")
    text: str = Field(description="The score for a person.")


class LoadingProgress(Schema):
    """How far the reading of the data has come."""

    description: str
    done: int
    total: int


class BudgetStatus(Schema):
    """How one budget stands."""

    name: str
    text: str = Field(description="For a person.")
    eta_s: float | None = Field(
        default=None, description="Seconds until it is used up, as far as one can tell."
    )


class RunningTrial(Schema):
    """A trial that is being trained."""

    trial: int
    family: str
    phase: str = PHASE
    grown_from: int | None = GROWN_FROM
    epoch: int = Field(description="Epochs that it has reported.")
    epochs: int
    score: float | None
    score_text: str
    eta_s: float | None = Field(
        description="Seconds until it has trained all its epochs, as far as one can tell."
    )


class StudySummary(Schema):
    """A study as a list of them shows it. Times are in seconds, moments in ISO 8601 with a zone."""

    name: str
    data: str
    status: StudyStatus
    message: str = Field(description="How it stands, in a sentence for a person.")
    next_command: str = Field(description="What to type next, with --server for a study of a service.")
    priority: int = Field(description="The higher it is, the sooner the study has its turn.")
    queue_position: int | None = Field(
        description="How many would begin before it, plus one; of a queued study."
    )
    objective: list[str]
    best: Best | None
    trials: dict[str, int] = Field(description="How many there are in each state.")
    did_not_fit: int = Field(
        default=0,
        description="How many of the rejected candidates were only too large for what was left of the budgets.",
    )
    progress: float | None = Field(
        description="Share in [0, 1] of the budget that is used, where one can tell."
    )
    eta_s: float | None
    elapsed_s: float = Field(description="How long it has run, over all its runs.")
    created_at: datetime.datetime | None
    error: str = Field(description="What went wrong, of a study that failed or has no model.")
    actions: list[str] = Field(description="What can be asked of it now.")
    deleted_until: datetime.datetime | None = Field(
        default=None, description="Until when a deleted study can be restored."
    )


class StudyDetail(StudySummary):
    """All of a study but its trials."""

    version: str = Field(description="Another one whenever settings or priority change; for If-Match.")
    phase: str = Field(description="What is being done beside training, empty otherwise.")
    loading: LoadingProgress | None
    left_s: float | None = Field(description="What is left of the time of the present run.")
    workers: int | None
    images_per_s: float | None
    running: list[RunningTrial]
    budgets: list[BudgetStatus]
    notices: list[str]
    config: dict[str, Any] = Field(description="Every setting, by field name.")
    command: str = Field(description="The command line that begins the same study.")
    toml: str = Field(description="The same as a file for --config.")
    outcome: dict[str, Any] | None = Field(description="What it came to, once it has ended.")
    directory: str
    mlflow: str | None = Field(description="Path of its run in the MLflow user interface.")


class TrialSummary(Schema):
    """A trial as a table shows it."""

    number: int
    state: str
    family: str
    phase: str = PHASE
    grown_from: int | None = GROWN_FROM
    score: float | None
    score_text: str
    best_epoch: int | None
    epoch: int = Field(description="Epochs that it has reported.")
    epochs: int | None = Field(description="Epochs of a full trial.")
    params: int | None
    flops: int | None = Field(description="Multiply-adds of one image.")
    costs: dict[str, float] = Field(description="What the study makes small, by objective.")
    training_s: float
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    reason: str = Field(description="Why it ended as it did, in words.")
    reason_code: EndReason | None = Field(
        description="The same for programs; null while it runs, `unknown` if another version ended it."
    )
    attempt: int
    actions: list[str]


class EpochView(Schema):
    """What one epoch of a trial showed."""

    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    val_balanced_accuracy: float
    val_macro_f1: float
    val_calibration_error: float
    learning_rate: float
    elapsed_s: float
    images_per_s: float
    precision: str
    eager_reason: str = Field(
        description="Why its steps could not be recorded as a CUDA graph; empty where they were or need not be."
    )


class TrialDetail(TrialSummary):
    """All that is known of a trial."""

    settings: dict[str, Any] = Field(description="Every setting, by full name.")
    complexity: dict[str, float] | None
    curve: list[EpochView]
    mlflow: str | None


class LearningCurve(Schema):
    """How one trial learnt: its score after each epoch."""

    trial: int
    family: str
    state: str
    epochs: list[int]
    scores: list[float]


class Importance(Schema):
    """How much a knob mattered to being among the best tenth of trials."""

    knob: str
    share: float


class JobView(Schema):
    """Something that takes a while and that a process of its own does."""

    id: str
    kind: JobKind
    study: str
    state: JobState
    created_at: datetime.datetime
    error: str = ""
    result: Any = Field(default=None, description="Its answer, once it is done.")


class ExportView(Schema):
    """An exported ensemble."""

    id: str = Field(description='"study" is the one that a study makes at its end.')
    directory: str
    formats: list[str]
    bytes: int
    created_at: datetime.datetime
