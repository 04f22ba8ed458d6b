"""Names in addresses: of studies, trials, jobs and exports, as far as their form can tell that they are none."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from convscout.services.config.names import EARLIER_NAME

StudyPath = Annotated[
    str, Path(pattern=f"^{EARLIER_NAME}$", description="Name of the study.", examples=["first"])
]
TrialPath = Annotated[int, Path(ge=0, lt=2**31, description="Number of the trial.", examples=[0])]
JobPath = Annotated[str, Path(pattern=r"^[0-9a-f-]{1,64}$", description="Id of the job.")]
ExportPath = Annotated[
    str, Path(pattern=r"^(study|[0-9a-f-]{1,64})$", description="Id of the export.", examples=["study"])
]
