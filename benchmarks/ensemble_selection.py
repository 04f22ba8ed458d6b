"""How long ensemble selection takes: python benchmarks/ensemble_selection.py [TRIALS] [IMAGES] [CLASSES]"""

from __future__ import annotations

import os
import platform
import sys
import time

import numpy as np

from services.ensemble import Member, select


def candidates(num_trials: int, num_images: int, num_classes: int) -> tuple[list[Member], np.ndarray]:
    """Made-up trials of differing skill that make partly different mistakes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(num_classes, size=num_images)
    shared = rng.standard_normal((num_images, num_classes), dtype=np.float32)  # images differ in difficulty
    members = []
    for number in range(num_trials):
        logits = shared + rng.standard_normal((num_images, num_classes), dtype=np.float32)
        logits[np.arange(num_images), labels] += rng.uniform(1.5, 4.0)
        odds = np.exp(logits)
        members.append(Member(number=number, probabilities=odds / odds.sum(axis=1, keepdims=True)))
    return members, labels


def main() -> None:
    num_trials, num_images, num_classes = [*map(int, sys.argv[1:]), *(1000, 10_000, 10)[len(sys.argv) - 1 :]]
    members, labels = candidates(num_trials, num_images, num_classes)
    began = time.perf_counter()
    ensemble = select(members, labels, max_members=5)
    elapsed_s = time.perf_counter() - began
    print(f"{num_trials} trials × {num_images} images × {num_classes} classes: {elapsed_s:.2f} s")
    print(
        f"accuracy {ensemble.single.accuracy:.4f} → {ensemble.score.accuracy:.4f}, {len(ensemble.members)} members"
    )
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, numpy {np.__version__}")


if __name__ == "__main__":
    main()
