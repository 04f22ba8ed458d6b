"""PT2: the whole ensemble as a program of torch.export, for C++ and for Python without convscout."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from convscout.search_space.errors import ExportError
from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.services.export.reload import Predictor
from convscout.services.export.writer import Exporter
from convscout.services.plugins import exporters
from convscout.trials.data.splits import Pixels
from convscout.trials.evaluation.metrics import Probabilities

FILE = "model.pt2"


@exporters.register("pt2")
class Pt2Exporter(Exporter):
    """``model.pt2``, which ``torch.export.load`` reads: from images (N, H, W, C) uint8 to probabilities (N, K).

    N, H and W may be any.
    """

    default: ClassVar[bool] = False  # few want it, and tracing takes time
    reader = f"{__name__}:read_program"

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        try:
            program = torch.export.export(
                ensemble.build_module(), (ensemble.example,), dynamic_shapes=ensemble.dynamic_shapes
            )
        except Exception as error:  # torch.export fails in many ways, of which none is a person's fault
            cause = str(error).strip().splitlines()[0]
            raise ExportError(f"the ensemble cannot be traced: {cause}; export it without pt2") from error
        torch.export.save(program, directory / FILE)


def read_program(directory: Path) -> Predictor:
    """The one in ``directory``."""
    module = torch.export.load(directory / FILE).module()

    @torch.inference_mode()
    def answer(images: Pixels) -> Probabilities:
        found: Probabilities = module(torch.from_numpy(np.ascontiguousarray(images))).numpy()
        return found

    return answer
