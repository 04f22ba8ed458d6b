"""What was guessed and left out of a directory is in the log of the search on it, and so is that it shows nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from PIL import Image

from convscout.services.config.home import Home
from convscout.services.events.events import Event, Notice
from convscout.services.studies import run
from tests.support.image_trees import write_class
from tests.support.studies import bundle_alone, tiny_config


@pytest.mark.slow
@bundle_alone()
def test_a_search_says_how_it_read_its_images_and_ends_with_a_warning_where_they_show_nothing(
    tmp_path: Path,
) -> None:
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / "flat" / "animals" / name).mkdir(parents=True)
        for index in range(20):
            Image.new("RGB", (8, 8), (100 * number, index, 0)).save(
                tmp_path / "flat" / "animals" / name / f"{index}.png"
            )
    write_class(tmp_path / "flat" / "animals" / "@eaDir")
    told: list[Event] = []
    config = tiny_config(data=f"folder:{tmp_path / 'flat'}", trials=1, epochs=1)
    run.search(config, Home(tmp_path / "flat" / "runs"), told.append, time.time())
    texts = [event.text for event in told if isinstance(event, Notice)]
    assert "images: the classes are taken from animals/, the only folder" in texts
    assert any("left out" in text and "animals/@eaDir/" in text for text in texts)
    flat = [number for number, text in enumerate(texts) if "nearly of one colour" in text]
    assert len(flat) == 2 and texts[flat[1]].startswith("what was found may mean nothing")
