"""Phases: what a study does beside training, as a person is told."""

from __future__ import annotations

PHASES = {
    "machine": "measuring the machine",
    "data": "reading the data",
    "ensemble": "selecting the ensemble",
    "refit": "refitting the ensemble",
    "distil": "distilling the ensemble",
    "test": "opening the test split",
    "export": "exporting and verifying",
}
