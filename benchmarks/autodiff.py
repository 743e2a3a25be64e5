"""One training step of a multilayer perceptron: the tape of course_lib.autodiff beside PyTorch's eager mode.

    python benchmarks/autodiff.py [--json FILE] [--networks 784-256-256-10] [--batch 128] [--threads 2]

float32, ReLU, softmax cross-entropy, plain descent. A step is forward pass, loss, backward pass and update, on the same
batch each time. The forward pass is timed on its own, with the tape being recorded, and so is forward with backward.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from typing import Any

import _timing as timing
import numpy as np

RATE = 0.01
AIM = 3.0
NETWORKS = "784-256-256-10,256-256-256-10"


def data(sizes: list[int], batch: int) -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Inputs, labels, and for each layer a matrix (inputs, outputs) and a shift."""
    rng = np.random.default_rng(0)
    layers = [
        (rng.normal(0, np.sqrt(2 / i), (i, o)).astype(np.float32), np.zeros(o, np.float32))
        for i, o in itertools.pairwise(sizes)
    ]
    return rng.standard_normal((batch, sizes[0]), dtype=np.float32), rng.integers(0, sizes[-1], batch), layers


def prepare(library: str, sizes: list[int], batch: int) -> dict[str, timing.Run]:
    return {"numpy": prepare_numpy, "torch": prepare_torch}[library](sizes, batch)


def prepare_numpy(sizes: list[int], batch: int) -> dict[str, timing.Run]:
    from course_lib import autodiff as ad

    x, labels, layers = data(sizes, batch)
    model = ad.mlp(sizes, rng=np.random.default_rng(0))
    parameters = list(model.parameters().values())
    for tensor, values in zip(parameters, [a for layer in layers for a in layer], strict=True):
        tensor.data = values

    def loss() -> ad.Tensor:
        return ad.softmax_cross_entropy(model(x), labels)

    def forward(steps: int) -> None:
        for _ in range(steps):
            loss()

    def both(steps: int) -> None:
        for _ in range(steps):
            model.zero_grad()
            loss().backward()

    def step(steps: int) -> None:
        for _ in range(steps):
            loss().backward()
            for tensor in parameters:
                tensor.data -= RATE * tensor.grad
                tensor.grad = None

    return {"forward": forward, "forward and backward": both, "step": step}


def prepare_torch(sizes: list[int], batch: int) -> dict[str, timing.Run]:
    import torch

    x, labels, layers = data(sizes, batch)
    inputs, classes, modules = torch.from_numpy(x), torch.from_numpy(labels), []
    for kernel, bias in layers:
        linear = torch.nn.Linear(*kernel.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(kernel.T))
            linear.bias.copy_(torch.from_numpy(bias))
        modules += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*modules[:-1])
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)

    def loss() -> Any:
        return torch.nn.functional.cross_entropy(model(inputs), classes)

    def forward(steps: int) -> None:
        for _ in range(steps):
            loss()

    def both(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            loss().backward()

    def step(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()

    return {"forward": forward, "forward and backward": both, "step": step}


def summary(network: str, seconds: dict[str, list[float]]) -> dict[str, Any]:
    median = timing.medians(seconds)
    result: dict[str, Any] = {"network": network, "ms": {k: 1e3 * v for k, v in median.items()}, "seconds": seconds}
    for library in ("numpy", "torch"):
        if f"{library} step" in median:
            forward, both = median[f"{library} forward"], median[f"{library} forward and backward"]
            result[f"{library} backward over forward"] = (both - forward) / forward
    if "torch step" in median and "numpy step" in median:
        # Round by round: what else the machine does falls on both alike.
        pairs = zip(seconds["numpy step"], seconds["torch step"], strict=True)
        result["over_torch"] = timing.statistics.median(ours / theirs for ours, theirs in pairs)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=NETWORKS)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--libraries", default="numpy,torch")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, choices=(1, 2), default=1)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        timing.serve(options.worker, options.threads, prepare)
        return

    libraries = timing.installed(options.libraries.split(","))
    record: dict[str, Any] = {"benchmark": "autodiff", **timing.machine(options.threads)}
    workers, results = timing.Workers(__file__, libraries, options.threads), []
    for network in options.networks.split(","):
        print(f"network {network}", file=sys.stderr)
        case = {"sizes": [int(n) for n in network.split("-")], "batch": options.batch}
        results.append(summary(network, workers.measure(case, options.rounds)))
    workers.close()

    labels = {"numpy": "`autodiff`", "torch": "torch eager"}
    header = ["network", "library", "forward, ms", "backward, ms", "backward / forward", "step, ms", "step / torch's"]
    rows = []
    for result in results:
        for library in libraries:
            ms, ratio = result["ms"], result[f"{library} backward over forward"]
            forward, step = ms[f"{library} forward"], ms[f"{library} step"]
            over = f"{result['over_torch']:.2f}" if library == "numpy" and "over_torch" in result else ""
            rows.append([result["network"], labels[library], f"{forward:.2f}", f"{forward * ratio:.2f}", f"{ratio:.2f}",
                         f"{step:.2f}", over])  # fmt: skip
    print(timing.heading(f"A training step of a perceptron at batch {options.batch}, float32", record))
    print(timing.table(header, rows))
    worst = max((result["over_torch"] for result in results if "over_torch" in result), default=None)
    if worst is not None:
        print(f"\nA step takes at most {worst:.2f} times torch's (aim: {AIM:g}).")
    timing.save(options.json, record | {"batch": options.batch, "rounds": options.rounds, "results": results})


if __name__ == "__main__":
    main()
