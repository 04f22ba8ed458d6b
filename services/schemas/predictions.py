"""Predictions as both services send them: the classes of a picture with their probabilities."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Answer(BaseModel):
    """The most probable classes of a picture."""

    top: dict[str, float] = Field(description="Class → probability in [0, 1], the most probable class first.")
