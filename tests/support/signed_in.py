"""What tests of pages share: the studies there are."""

from __future__ import annotations

DONE, LARGE = "done", "large"
LARGE_TRIALS = 130
EVERY_PAGE = (
    "/",
    "/new",
    "/datasets",
    "/datasets/digits/look",
    "/audit",
    *(
        f"/studies/{study}{page}"
        for study in (DONE, LARGE)
        for page in ("", "/trials", "/trials/1", "/ensemble", "/report")
    ),
    f"/studies/{DONE}/trials/1/answers",
)
