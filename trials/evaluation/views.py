"""The names of the views that a network can have of an image; ``tta.py`` has the views."""

from __future__ import annotations

PLAIN, MIRRORED, SHIFTED = "plain", "mirrored", "shifted"
