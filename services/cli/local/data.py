"""Looking at data before a search spends time on it, on this machine: datasets, datasets check."""

from __future__ import annotations

import re
from pathlib import Path

from convscout.services.cli.data_report import print_report
from convscout.services.cli.display import display
from convscout.services.cli.output import print_json, print_table
from convscout.services.config.documentation import summary_of
from convscout.services.config.home import Home
from convscout.services.studies.session import load_images
from convscout.trials.data.contact_sheet import contact_sheet
from convscout.trials.data.data_check import check as check_splits
from convscout.trials.data.sources import sources


def datasets(*, json: bool) -> None:
    """List the datasets there are."""
    found = [
        (name, f"{name}:{source.location}" if source.location else name) for name, source in sources.items()
    ]
    about = {name: summary_of(source).partition(": ")[2] for name, source in sources.items()}
    if json:
        print_json([{"name": name, "spelled": spelled, "about": about[name]} for name, spelled in found])
    else:
        print_table(["--data", "about"], [[spelled, about[name]] for name, spelled in found])


def check(
    home: Home,
    data: str,
    *,
    data_dir: Path | None,
    image_size: int | None,
    max_bad_images: float,
    sheet: Path | None,
    json: bool,
) -> None:
    """Say what the images of ``data`` are, and draw a contact sheet."""
    with display(quiet=json) as listener:
        splits = load_images(
            data, home, listener, data_dir=data_dir, image_size=image_size, max_bad_images=max_bad_images
        )
    picture = (sheet or home.root / f"{_file_name(splits.name)}-contact-sheet.png").absolute()
    contact_sheet(splits, picture)
    print_report(check_splits(splits).to_dict(), picture, json=json)


def _file_name(data: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", data.replace(":", "/").rpartition("/")[2]) or "data"
