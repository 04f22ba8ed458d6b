"""What is sent to a route as JSON."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """The fields of a request's body: no others are taken, and each of its own kind alone."""

    model_config = ConfigDict(extra="forbid", strict=True)  # false is no 0
