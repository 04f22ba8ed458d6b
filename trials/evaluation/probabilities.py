"""What a model answers for a whole split."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softmax

from convscout.trials.compute.precision import Precision
from convscout.trials.compute.threads import spread_over_threads
from convscout.trials.data.batches import EVALUATION_BATCH, Batches


def probabilities(model: nn.Module, batches: Batches, precision: Precision) -> Tensor:
    """Softmax probabilities (N, K), float32 on the CPU, for every image in its own order."""
    model.eval()

    @torch.inference_mode()
    def answer(images: Tensor) -> Tensor:
        with precision.autocast():
            logits = model(precision.lay_out(images))
        return softmax(logits.float(), dim=1)

    if precision.device.type != "cpu":
        return torch.cat(list(map(answer, batches.in_order()))).cpu()  # (N, K)
    # all threads together hold no more images than one would
    size = max(1, EVALUATION_BATCH["cpu"] // torch.get_num_threads())
    return torch.cat(list(spread_over_threads(answer, batches.in_order(size))))  # (N, K)


@torch.no_grad()
def answers_of(teacher: nn.Module, images: Tensor, precision: Precision) -> Tensor:
    """What ``teacher`` answers to one batch, float32: probabilities (N, K) of images (N, C, H, W)."""
    with precision.autocast():
        answers: Tensor = teacher.eval()(precision.lay_out(images))
    return answers.float()
