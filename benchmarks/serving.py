"""How many pictures a second does the model server answer with dynamic batching, against one at a time?

python -m benchmarks.serving

The server is real, in a process of its own, and so are its clients, each of which sends the next picture when it has
the answer to the last. The two servers are asked in turns, so that what else the machine does hits both. The
ensemble's networks are those that a search begins with, untrained: they cost what trained ones do.
"""

from __future__ import annotations

import argparse
import http.client
import io
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.common import markdown, write
from convscout.search_space.architecture import ImageSpec, families
from convscout.services.ensembles.trained import TrainedEnsemble, TrainedMember
from convscout.services.export.writer import export
from convscout.trials.data.splits import Normalization

SIDES = {"batched": (), "one at a time": ("--max-batch", "1", "--max-wait", "0")}


def ensemble(names: Sequence[str], size: int) -> TrainedEnsemble:
    """The proven networks of families ``names``, of equal weight."""
    image = ImageSpec(in_channels=3, image_size=size, num_classes=10)
    members = []
    for number, name in enumerate(names):
        architecture = families.get(name).proven()
        weights = architecture.build(image).state_dict()
        members.append(
            TrainedMember(number=number, weight=1 / len(names), architecture=architecture, weights=weights)
        )
    return TrainedEnsemble(
        study="serving",
        data="noise",
        fingerprint="0" * 64,
        class_names=tuple(map(str, range(10))),
        image=image,
        normalization=Normalization(mean=(0.5,) * 3, std=(0.25,) * 3),
        members=tuple(members),
        metrics={},
    )


def pictures(count: int, size: int) -> list[bytes]:
    """Files of noise, as PNG."""
    files = []
    for pixels in np.random.default_rng(0).integers(256, size=(count, size, size, 3), dtype=np.uint8):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="PNG")
        files.append(buffer.getvalue())
    return files


@contextmanager
def server(directory: Path, options: Sequence[str]) -> Iterator[str]:
    """The ``HOST:PORT`` of a server that is up."""
    command = [sys.executable, "-m", "convscout", "serve-model", str(directory), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[2].removeprefix("http://")
        finally:
            process.send_signal(signal.SIGTERM)


def ask(address: str, files: Sequence[bytes], end_s: float, latencies_s: list[float]) -> None:
    """One client: ``files`` over and over until ``end_s``, on one connection."""
    connection = http.client.HTTPConnection(address, timeout=60)
    while True:
        for content in files:
            began = time.perf_counter()
            if began > end_s:
                connection.close()
                return
            connection.request("POST", "/predict", content)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                sys.exit(f"the server answered {answer.status}")
            latencies_s.append(time.perf_counter() - began)


def measure(address: str, files: Sequence[bytes], clients: int, seconds: float) -> dict[str, float]:
    """Requests a second of ``clients`` at once, the median latency, and the mean number of pictures in a run."""
    before, latencies_s = batches(address), list[float]()
    began = time.perf_counter()
    threads = [
        threading.Thread(target=ask, args=(address, files, began + seconds, latencies_s))
        for _ in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.perf_counter() - began
    pictures, runs = (after - earlier for after, earlier in zip(batches(address), before, strict=True))
    return {
        "requests_per_s": len(latencies_s) / took_s,
        "median_ms": 1e3 * median(latencies_s),
        "pictures_a_run": pictures / runs,
    }


def batches(address: str) -> tuple[float, float]:
    """Pictures that the server has answered, and the runs that it took."""
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    values = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return values["convscout_batch_size_sum"], values["convscout_batch_size_count"]


def compare(
    directory: Path, counts: Sequence[int], seconds: float, turns: int, size: int
) -> list[dict[str, Any]]:
    """Both servers, asked in turns by each number of clients."""
    files, results = pictures(32, size), []
    with ExitStack() as stack:
        addresses = {side: stack.enter_context(server(directory, options)) for side, options in SIDES.items()}
        for address in addresses.values():
            measure(address, files, 1, seconds / 4)  # the first answers are slower
        for clients in counts:
            found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
            for _ in range(turns):
                for side, address in addresses.items():
                    found[side].append(measure(address, files, clients, seconds))
            pairs = zip(*([each["requests_per_s"] for each in found[side]] for side in SIDES), strict=True)
            ratios = [batched / single for batched, single in pairs]
            middle = {
                side: {name: round(median(each[name] for each in rows), 2) for name in rows[0]}
                for side, rows in found.items()
            }
            results.append({"clients": clients, "ratio": round(median(ratios), 3), "sides": middle})
            print(results[-1], flush=True)
    return results


def _row(result: dict[str, Any]) -> list[object]:
    batched, single = (result["sides"][side] for side in SIDES)
    return [
        result["clients"],
        f"{batched['requests_per_s']:,.0f}",
        f"{single['requests_per_s']:,.0f}",
        f"{result['ratio']:.2f}",
        f"{batched['pictures_a_run']:.1f}",
        f"{batched['median_ms']:.1f}",
        f"{single['median_ms']:.1f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", type=lambda text: text.split(","), default=["speednet", "resnet"])
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--clients", default="1,4,16,64", help="how many ask at once")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a small network and few requests: does it run?")
    asked = parser.parse_args()
    if asked.quick:
        asked.families, asked.clients, asked.seconds, asked.turns = ["lenet"], "4", 0.5, 1
    counts = [int(count) for count in asked.clients.split(",")]
    with TemporaryDirectory() as root:
        model, directory = ensemble(asked.families, asked.image_size), Path(root) / "export"
        noise = np.zeros((4, asked.image_size, asked.image_size, 3), dtype=np.uint8)
        export(model, directory, noise, formats=["onnx"])
        results = compare(directory, counts, asked.seconds, asked.turns, asked.image_size)
    columns = [
        "clients",
        "batched, answers/s",
        "one at a time",
        "ratio",
        "pictures a run",
        "batched, ms",
        "one at a time",
    ]
    path = write("serving", results, families=asked.families, image_size=asked.image_size)
    print(markdown(columns, list(map(_row, results))), path, sep="\n\n")


if __name__ == "__main__":
    main()
