"""Weights for ``pretrained``: random ones, laid where torch.hub would put the published ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from convscout.search_space.families.pretrained import PretrainedConfig, weights_file


def publish(backbone: str) -> nn.Module:
    """Make the weights of ``backbone``, write them to torch.hub's folder, and give the network back."""
    torch.manual_seed(1)
    network: nn.Module = get_model(backbone, weights=None)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
    path = weights_file(backbone)[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), path)
    return network


@pytest.fixture(scope="session", autouse=True)
def _hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A torch.hub folder of the tests' own, so that nothing depends on what this machine has fetched."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("hub")))
        publish(PretrainedConfig().backbone)
        for backbone in PretrainedConfig.knobs()["backbone"].choices:  # type: ignore[attr-defined]
            weights_file(backbone)[1].touch()  # enough for the meta device
        yield
