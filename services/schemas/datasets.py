"""What the service tells of a dataset, for REST and for pages."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

NUM_SKIPPED_NAMED = 20


class SkippedFile(BaseModel):
    """A file of an upload that was left out, and why."""

    model_config = ConfigDict(frozen=True)

    path: str
    reason: str


class DatasetFacts(BaseModel):
    """What was found out about an uploaded dataset when it came."""

    model_config = ConfigDict(frozen=True)

    num_images: int | None = Field(default=None, description="Labelled images in all splits.")
    classes: tuple[str, ...] | None = Field(default=None, description="Names of the classes, in order.")
    image_size: int | None = Field(
        default=None,
        description="Side in pixels that a study reads the images at unless told or short of time.",
    )
    bytes: int | None = Field(
        default=None, description="What it takes on the disk; counts towards the quota."
    )
    created_at: datetime | None = Field(default=None, description="When it was uploaded.")
    notes: tuple[str, ...] = Field(
        default=(), description="How the upload was understood, where that is not plain."
    )
    num_skipped: int = Field(default=0, description="Files of the upload that were left out.")
    skipped: tuple[SkippedFile, ...] = Field(
        default=(), description=f"The first {NUM_SKIPPED_NAMED} of those, and why each was."
    )


class DatasetView(DatasetFacts):
    """A dataset that a study may be started on."""

    name: str
    kind: Literal["builtin", "uploaded", "local"] = Field(
        description="builtin: comes with convscout or is fetched by it; uploaded: lies in the service's home; "
        "local: lies under a directory that the service was started with (--data-root)."
    )
    data: str = Field(description="What the setting study.data of a study on it says.")
    about: str = Field(description="One sentence for a person.")


class DatasetList(BaseModel):
    """Every dataset that the service knows of: built-in ones, uploaded ones, local ones."""

    items: tuple[DatasetView, ...]
