"""The same batches come out, bit for bit, wherever the pixels lie, and no thread is left behind."""

from __future__ import annotations

import gc
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from convscout.search_space.augmentation import Augmentation, InTurn, augmentations
from convscout.trials.compute.precision import Precision
from convscout.trials.data.batches import Batches
from convscout.trials.data.mapped_images import Images, Index, MappedImages, PixelFile, Pixels
from convscout.trials.data.pixel_reader import _index, _move, pixel_reader
from convscout.trials.data.splits import LabelledImages, Normalization
from convscout.trials.evaluation.probabilities import probabilities

CPU = torch.device("cpu")
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: pinned memory, streams, events")
COUNT, SIDE, CLASSES = 150, 12, 5
POLICY = InTurn((augmentations.get("crop_flip")(), augmentations.get("mixup")()))


@pytest.fixture
def pixels() -> Pixels:
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    pixels.flags.writeable = False  # as Ray hands it out
    return pixels


@pytest.fixture
def mapped(pixels: Pixels, tmp_path: Path) -> MappedImages:
    """The same images, in another order in a file."""
    order = np.random.default_rng(1).permutation(COUNT)
    np.savez(tmp_path / "file.npz", images=pixels[order], key=np.array("key"))
    return MappedImages(PixelFile(tmp_path / "file.npz", "key"), np.argsort(order))


def batches(images: Images, device: torch.device = CPU, memory: int | None = None) -> Batches:
    labelled = LabelledImages(images=images, labels=np.arange(COUNT) % CLASSES)
    normalization = Normalization(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    return Batches(labelled, normalization, num_classes=CLASSES, device=device, memory=memory)


def drawn(source: Batches, policy: Augmentation = POLICY) -> list[Tensor]:
    """Everything that ``source`` gives for one seed, on the CPU."""
    found = [
        tensor
        for seed in (1, 2)
        for batch in source.shuffled(32, policy, torch.Generator().manual_seed(seed))
        for tensor in batch
    ]
    return [tensor.cpu() for tensor in (*found, *source.in_order(40), source.spread(7))]


def reading_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_mapped_images_give_the_batches_of_those_in_memory(pixels: Pixels, mapped: MappedImages) -> None:
    expected, found = drawn(batches(pixels)), drawn(batches(mapped))
    assert len(expected) == 2 * 2 * 5 + 4 + 1
    assert all(map(torch.equal, found, expected))
    assert all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in found[-5:])
    assert not reading_threads()


def test_images_in_memory_need_no_thread(pixels: Pixels, mapped: MappedImages) -> None:
    for images, threads in ((pixels, 0), (mapped, 1)):
        with closing(batches(images).shuffled(32, POLICY, torch.Generator())) as epoch:
            next(epoch)
            assert len(reading_threads()) == threads
        assert not reading_threads()


def test_an_epoch_that_is_given_up_leaves_no_thread(mapped: MappedImages) -> None:
    def stopped() -> None:
        for _ in batches(mapped).shuffled(8, POLICY, torch.Generator()):
            raise RuntimeError("diverged")

    with pytest.raises(RuntimeError, match="diverged"):
        stopped()
    gc.collect()
    assert not reading_threads()


def test_an_error_of_the_disk_reaches_who_trains(
    mapped: MappedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = PixelFile.read

    def failing(file: PixelFile, rows: Index, out: Pixels | None = None) -> Pixels:
        if 77 in rows:
            raise OSError(5, "Input/output error")
        return read(file, rows, out)

    monkeypatch.setattr(PixelFile, "read", failing)
    with pytest.raises(OSError, match="Input/output error"):
        list(batches(mapped).shuffled(8, POLICY, torch.Generator()))
    assert not reading_threads()


def test_mapped_images_are_evaluated_without_gradients(pixels: Pixels, mapped: MappedImages) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * SIDE * SIDE, CLASSES))
    answers = [
        probabilities(model, batches(images), Precision(CPU, torch.float32)) for images in (pixels, mapped)
    ]
    assert torch.equal(*answers)


def test_a_device_is_filled_block_by_block(
    pixels: Pixels, mapped: MappedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convscout.trials.data.mapped_images._BLOCK_BYTES", 40 * pixels[0].nbytes)
    index = torch.tensor([149, 3, 3, 0])
    for images in (pixels, mapped):
        resident = _move(images, CPU)  # what is done on a GPU, which needs no GPU
        assert np.array_equal(resident.numpy(), pixels)
        assert np.array_equal(_index(resident, index).numpy(), pixels[index.numpy()])


@GPU
@pytest.mark.parametrize("where", ["memory", "file"])
def test_a_gpu_draws_the_same_batches_whether_it_holds_the_pixels_or_not(
    pixels: Pixels, mapped: MappedImages, where: str
) -> None:
    gpu, images = torch.device("cuda"), pixels if where == "memory" else mapped
    resident, streamed = drawn(batches(images, gpu)), drawn(batches(images, gpu, memory=pixels.nbytes - 1))
    assert all(map(torch.equal, streamed, resident))
    order = torch.split(torch.randperm(COUNT), 32)
    for memory in (0, pixels.nbytes):
        read = list(pixel_reader(images, gpu, memory)(order))
        assert all(batch.device.type == "cuda" for batch in read)
        assert np.array_equal(torch.cat(read).cpu().numpy(), pixels[torch.cat(order).numpy()])
    assert not reading_threads()


@GPU
def test_a_gpu_that_is_behind_loses_no_streamed_batch(pixels: Pixels) -> None:
    gpu = torch.device("cuda")
    order = list(torch.split(torch.arange(COUNT).repeat(20), 16))
    busy = torch.randn(4096, 4096, device=gpu)
    found = []
    for batch in pixel_reader(pixels, gpu, 0)(order):
        busy = busy @ busy / 64  # so that copies overtake the computing
        found.append(batch.clone())
    assert np.array_equal(torch.cat(found).cpu().numpy(), pixels[torch.cat(order).numpy()])
