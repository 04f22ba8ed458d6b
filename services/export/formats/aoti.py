"""AOTI: the whole ensemble compiled to machine code by AOTInductor, for C++ and Python without convscout."""

from __future__ import annotations

import os
import shutil
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

FILE = "model.aoti.pt2"
_COMPILERS = ("g++", "clang++", "c++")


@exporters.register("aoti")
class AotiExporter(Exporter):
    """``model.aoti.pt2``, which ``torch._inductor.aoti_load_package`` reads: as ``model.pt2``, compiled for this CPU.

    It runs on machines with the same instructions, and takes a C++ compiler to write.
    """

    default: ClassVar[bool] = False  # compiling takes minutes
    reader = f"{__name__}:read_package"

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        if not any(map(shutil.which, (os.environ.get("CXX", ""), *_COMPILERS))):
            raise ExportError(
                f"there is no C++ compiler ({', '.join(_COMPILERS)}); install one, name one in CXX, or export without "
                "aoti"
            )
        try:
            program = torch.export.export(
                ensemble.build_module(), (ensemble.example,), dynamic_shapes=ensemble.dynamic_shapes
            )
            with torch.inference_mode():
                torch._inductor.aoti_compile_and_package(program, package_path=str(directory / FILE))
        except Exception as error:  # the compiler fails in many ways, of which none is a person's fault
            cause = str(error).strip().splitlines()[:1] or [type(error).__name__]
            raise ExportError(
                f"the ensemble cannot be compiled: {cause[0]}; export it without aoti"
            ) from error


def read_package(directory: Path) -> Predictor:
    """The one in ``directory``."""
    model = torch._inductor.aoti_load_package(str(directory / FILE))

    @torch.inference_mode()
    def answer(images: Pixels) -> Probabilities:
        found: Probabilities = model(torch.from_numpy(np.ascontiguousarray(images))).numpy()
        return found

    return answer
