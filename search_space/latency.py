"""Latency: how long a network takes for one image, measured on this machine."""

from __future__ import annotations

import time

import torch

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec

WARM_UP = 2  # passes that are not counted: the first ones allocate and choose kernels
LEAST_PASSES = 5
ENOUGH_S = 0.1  # of passes; small networks are passed through oftener


def measure_latency(architecture: ArchitectureConfig, image: ImageSpec, device: torch.device) -> float:
    """Seconds of one image's forward pass in float32, on one thread where ``device`` is a CPU.

    The fastest of several passes, because whatever else runs on the machine only ever makes a pass
    slower. The random state stays as it was. Raises ``UnbuildableError`` where it cannot be built.
    """
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=()), torch.inference_mode():
        model = architecture.build(image).eval().to(device)
        pixels = torch.rand(1, image.in_channels, image.image_size, image.image_size, device=device)
        torch.set_num_threads(1)
        try:
            for _ in range(WARM_UP):
                model(pixels)
            passes: list[float] = []
            while len(passes) < LEAST_PASSES or sum(passes) < ENOUGH_S:
                began = time.perf_counter()
                model(pixels)
                if device.type == "cuda":
                    torch.cuda.current_stream(device).synchronize()
                passes.append(time.perf_counter() - began)
        finally:
            torch.set_num_threads(threads)
    return min(passes)
