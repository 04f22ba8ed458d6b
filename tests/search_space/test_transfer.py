"""A tensor moves to its device with its value."""

from __future__ import annotations

import torch

from convscout.search_space.transfer import to_device


def test_on_a_cpu_nothing_moves() -> None:
    tensor = torch.arange(5)
    assert to_device(tensor, torch.device("cpu")) is tensor
    assert to_device(tensor, torch.device("meta")).device.type == "meta"
