"""Ray clusters of several nodes on this machine, with and without token authentication, for tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ray._private.authentication_test_utils import reset_auth_token_state
from ray.cluster_utils import Cluster

from convscout.services.config.study_config import StudyConfig
from convscout.services.config.toml import to_toml
from tests.support.places import ROOT

TOKEN = "a" * 64
OTHER_TOKEN = "b" * 64
_RUN = """
import sys
from convscout.services.cli import main
from tests.support.studies import bundle_alone
with bundle_alone():
    main(sys.argv[1:])
"""


@contextmanager
def cluster(*, token: str | None) -> Iterator[Cluster]:
    """A head with one core; more nodes can be added. Without a ``token`` it takes orders from anybody."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in authentication(token).items():
            patch.setenv(name, value)
        reset_auth_token_state()
        started = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        try:
            yield started
        finally:
            started.shutdown()
    reset_auth_token_state()


def authentication(token: str | None) -> dict[str, str]:
    """The environment of a process that shows ``token``, or none."""
    if token is None:
        return {"RAY_AUTH_MODE": "disabled"}
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}


def begin_search(
    config: StudyConfig, home: Path, address: str, *, token: str | None = TOKEN
) -> subprocess.Popen[str]:
    """``convscout search`` of ``config`` on the cluster at ``address``, as a person runs it, but with a short end."""
    file = home.parent / f"{config.name}.toml"
    file.write_text(to_toml(config))
    arguments = ["search", "--config", str(file), "--ray-address", address, "--home", str(home)]
    return subprocess.Popen(
        [sys.executable, "-c", _RUN, *arguments],
        cwd=ROOT,
        env={**os.environ, **authentication(token)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refusal(config: StudyConfig, home: Path, address: str, *, token: str | None = TOKEN) -> str:
    """What ``begin_search`` says when it is refused, for which it must leave with 2 and nothing written."""
    process = begin_search(config, home, address, token=token)
    _, told = process.communicate(timeout=150)
    assert process.returncode == 2, told
    assert not home.exists() or not list(home.iterdir())
    assert "Traceback" not in told
    return told
