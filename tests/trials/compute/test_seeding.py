"""What a thread draws from torch's generators goes by its seed, whatever other threads seed them with."""

from __future__ import annotations

import threading

import torch

from convscout.trials.compute.seeding import drawing_from, nobody_seeding, seed_generators


def test_a_seed_determines_what_is_drawn() -> None:
    with drawing_from(3):
        first = torch.rand(4)
    with drawing_from(3):
        assert torch.equal(torch.rand(4), first)
    seed_generators(3)
    assert torch.equal(torch.rand(4), first)


def test_other_threads_wait_before_they_seed() -> None:
    def drawn() -> torch.Tensor:
        return torch.stack([torch.rand(4) for _ in range(100)])

    with drawing_from(3):
        expected = drawn()
    others = [threading.Thread(target=seed_generators, args=(seed,)) for seed in range(20)]
    with drawing_from(3):
        for other in others:
            other.start()
        alive = [other.is_alive() for other in others]
        assert torch.equal(drawn(), expected)
    for other in others:
        other.join()
    assert all(alive)


def test_while_nobody_seeds_the_generators_stay_as_they_are() -> None:
    other = threading.Thread(target=seed_generators, args=(5,))
    with nobody_seeding():
        before = torch.get_rng_state()
        other.start()
        other.join(0.1)
        assert other.is_alive() and torch.equal(torch.get_rng_state(), before)
    other.join()
    assert torch.initial_seed() == 5
