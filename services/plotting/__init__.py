"""A whole study as pictures and a table: in MLflow while it runs, and by ``convscout plot``.

The plots themselves are in ``services/plotting/study_plots/``, one file each.

    registry.py  the registry of plots            writing.py   files, written from a ledger's records
    view.py      what plots see of a study        knobs.py     which knobs were tried, and how much each mattered
    columns.py   what trials are compared by      style.py     colours and axes that plots share
    table.py     trials as CSV
"""
