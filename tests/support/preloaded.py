"""What programs of ours import sooner or later: the server that ``forked.py`` forks them from imports it once."""

from __future__ import annotations

import sklearn.datasets  # noqa: F401
import torch._dynamo  # by the first optimizer, which takes three seconds
import torch.onnx  # noqa: F401

import convscout.services.control.plane
import convscout.services.evaluation.figures
import convscout.services.executors.ray_tune
import convscout.services.export.formats.onnx
import convscout.services.tracking.champion  # noqa: F401
