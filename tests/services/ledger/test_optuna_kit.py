"""Optuna's own kit for storages, on the tables of a ledger: its other tools can read and write what we make."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.storages import RDBStorage
from optuna.testing.pytest_storages import StorageTestCase

from convscout.services.config.home import Home
from convscout.services.ledger.database import open_storage


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a ledger without studies."""
    home = Home(tmp_path_factory.mktemp("ledger"))
    open_storage(home).dispose()
    return home.database


class TestTables(StorageTestCase):
    @pytest.fixture
    def storage(self, ledger: Path, tmp_path: Path) -> Iterator[RDBStorage]:
        home = Home(tmp_path)
        shutil.copyfile(ledger, home.database)
        storage = RDBStorage(home.storage_url)
        yield storage
        storage.remove_session()
        storage.engine.dispose()
