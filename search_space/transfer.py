"""Moving small tensors to the device that computes, without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` on ``device``. A copy to a GPU is made from pinned memory while the caller goes on."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(
            device, non_blocking=True
        )  # torch keeps the pinned copy until it is read
    return tensor.to(device)
