"""Who did what."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from convscout.services.server.api.openapi import problems
from convscout.services.server.dependencies import Page, Plane

router = APIRouter(prefix="/api/v1/audit", tags=["service"])


class AuditEntry(BaseModel):
    """One request that could change something, or one wrong token."""

    id: int
    at: str = Field(description="When it was answered, ISO 8601 in UTC.")
    actor: str = Field(description="`token`, `session` and the beginning of its id, or `nobody`.")
    client: str = Field(description="The address that it came from.")
    method: str
    route: str = Field(description="The path as it is declared here; `other` for one that does not exist.")
    target: str = Field(description="The path that was asked for.")
    status: int = Field(description="Of the answer.")


class AuditPage(BaseModel):
    """Some of the audit log, newest first."""

    items: list[AuditEntry]
    next: str | None = Field(description="The cursor of what comes after it, if anything does.")


@router.get("", responses=problems())
def audit(plane: Plane, page: Page) -> AuditPage:
    """The audit log, newest first. It is only ever added to."""
    position = page.position(int)
    rows = plane.store.audited(position[0] if position else None, page.limit + 1)
    shown = rows[: page.limit]
    return AuditPage(
        items=[AuditEntry(**row._asdict()) for row in shown],
        next=page.after(shown[-1].id) if len(rows) > len(shown) else None,
    )
