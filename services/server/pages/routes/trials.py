"""The page of all trials of a study: filtered, sorted, a part at a time."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from convscout.services.control.trials import TrialOrder, select, summary
from convscout.services.server.dependencies import Plane
from convscout.services.server.path_params import StudyPath
from convscout.services.server.rendering import render
from convscout.trials.config import TrialState

router = APIRouter(include_in_schema=False)
_A_PAGE = 50
COLUMNS = {
    TrialOrder.NUMBER: "Trial",
    TrialOrder.SCORE: "Score",
    TrialOrder.EPOCHS: "Epochs",
    TrialOrder.PARAMS: "Parameters",
    TrialOrder.TRAINING: "Trained for",
}


@router.get("/studies/{name}/trials")
def trials(
    request: Request,
    plane: Plane,
    name: StudyPath,
    state: Annotated[list[str] | None, Query()] = None,
    family: Annotated[list[str] | None, Query()] = None,
    order: TrialOrder = TrialOrder.NUMBER,
    descending: str = "",
    page: Annotated[int, Query(ge=1, le=10**6)] = 1,
) -> Response:
    """The trials that were asked for. What the form leaves empty asks for nothing."""
    snapshot = plane.snapshot(name)
    states, families = list(filter(None, state or ())), list(filter(None, family or ()))
    found = select(
        snapshot.trials, states=states, families=families, order=order, descending=bool(descending)
    )
    last = max(1, -(-len(found) // _A_PAGE))
    page = min(page, last)
    asked: dict[str, Any] = {"state": states, "family": families}

    def address(**changes: Any) -> str:
        """This page with changes."""
        sorting = {"order": order.value, "descending": descending}
        return "?" + urlencode({**asked, **sorting, **changes}, doseq=True)

    return render(
        request.scope,
        "trials.html",
        name=name,
        trials=[summary(each) for each in found[(page - 1) * _A_PAGE : page * _A_PAGE]],
        total=len(found),
        first=(page - 1) * _A_PAGE + 1,
        counts=snapshot.counts,
        families=sorted({each.family for each in snapshot.trials}),
        asked=asked,
        states=[str(each) for each in TrialState],
        columns=COLUMNS,
        order=order,
        descending=bool(descending),
        page=page,
        last=last,
        address=address,
    )
