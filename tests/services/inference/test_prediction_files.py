"""Predictions as CSV open in a spreadsheet as what they are."""

from __future__ import annotations

import csv
import io

from convscout.services.inference.predict import ClassProbability, Prediction
from convscout.services.inference.prediction_files import write_csv


def test_a_class_is_no_formula_in_a_spreadsheet_and_a_number_stays_one() -> None:
    names = ("=1+1", "@SUM(A1)", "+cmd", "-cmd", "-1", "cat", "a=b")
    predictions = [
        Prediction(path="=x.png", top=(ClassProbability(class_name=name, probability=0.5),)) for name in names
    ]
    write_csv(predictions, file := io.StringIO(), 1)
    rows = [*csv.DictReader(io.StringIO(file.getvalue()))]
    assert [row["class"] for row in rows] == ["'=1+1", "'@SUM(A1)", "'+cmd", "'-cmd", "-1", "cat", "a=b"]
    assert {row["path"] for row in rows} == {"'=x.png"}
