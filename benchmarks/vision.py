"""A training step and a prediction of ResNet-18: the package's beside Keras' style of layers and torch.nn.

    python benchmarks/vision.py [--json FILE] [--side 64] [--batch 8] [--threads 2] [--compiled]

float32, softmax cross-entropy, plain descent, batch normalisation; the same images each time. On each Keras backend the
peer is written as keras.applications writes its networks, with a bias in every convolution. torch's is the usual eager
module of torch.nn; --compiled adds torch.compile, which needs a C++ compiler and a minute.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import _timing as timing
import numpy as np

BLOCKS, WIDTHS, CLASSES, RATE = (2, 2, 2, 2), (64, 128, 256, 512), 1000, 1e-3
LIBRARIES = "keras-tensorflow,keras-jax,keras-torch,torch"
TASKS = ("step", "prediction")


def data(side: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((batch, side, side, 3), dtype=np.float32), rng.integers(0, CLASSES, batch)


def prepare(library: str, side: int, batch: int, compiled: bool) -> dict[str, timing.Run]:
    return prepare_torch(side, batch, compiled) if library == "torch" else prepare_keras(side, batch)


def prepare_keras(side: int, batch: int) -> dict[str, timing.Run]:
    from dataclasses import replace

    from course_lib.models.resnet import PRESETS, resnet

    ours = resnet(replace(PRESETS["resnet18"], image=(side, side, 3), classes=CLASSES))
    theirs = keras_style(side)
    biases = sum(weight.shape[0] for weight in theirs.weights if weight.path.endswith("conv/bias"))
    assert theirs.count_params() - biases == ours.count_params()
    runs = {}
    for label, model in (("ours", ours), ("peer", theirs)):
        for task, run in keras_runs(model, *data(side, batch)).items():
            runs[f"{label} {task}"] = run
    return runs


def keras_runs(model: Any, x: np.ndarray, y: np.ndarray) -> dict[str, timing.Run]:
    import keras

    model.compile(keras.optimizers.SGD(RATE), keras.losses.SparseCategoricalCrossentropy(from_logits=True))

    def step(steps: int) -> None:
        for _ in range(steps):
            model.train_on_batch(x, y)  # it waits for the loss

    def predict(steps: int) -> None:
        for _ in range(steps):
            model.predict_on_batch(x)

    return {"step": step, "prediction": predict}


def keras_style(side: int) -> Any:
    """Build ResNet-18 the way keras.applications builds its ResNets."""
    from keras import Input, Model, layers

    def conv_norm(x: Any, width: int, size: int, stride: int, name: str, activate: bool = True) -> Any:
        if stride > 1 and size > 1:
            x = layers.ZeroPadding2D(size // 2)(x)
        padding = "same" if stride == 1 else "valid"
        x = layers.Conv2D(width, size, stride, padding, name=f"{name}_conv")(x)
        x = layers.BatchNormalization(epsilon=1.001e-5, name=f"{name}_bn")(x)
        return layers.Activation("relu")(x) if activate else x

    x = images = Input((side, side, 3))
    x = conv_norm(x, WIDTHS[0], 7, 2, "stem")
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    for stage, (blocks, width) in enumerate(zip(BLOCKS, WIDTHS, strict=True)):
        for block in range(blocks):
            stride, name = (2 if stage and not block else 1), f"{stage}_{block}"
            way_round = x if stride == 1 else conv_norm(x, width, 1, stride, f"{name}_0", activate=False)
            y = conv_norm(conv_norm(x, width, 3, stride, f"{name}_1"), width, 3, 1, f"{name}_2", activate=False)
            x = layers.Activation("relu")(layers.Add()([way_round, y]))
    return Model(images, layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(x)))


def prepare_torch(side: int, batch: int, compiled: bool) -> dict[str, timing.Run]:
    import torch
    from torch import nn

    def conv_norm(before: int, width: int, size: int, stride: int) -> Any:
        return nn.Sequential(nn.Conv2d(before, width, size, stride, size // 2, bias=False), nn.BatchNorm2d(width))

    class Block(nn.Module):
        def __init__(self, before: int, width: int, stride: int) -> None:
            super().__init__()
            self.body = nn.Sequential(
                conv_norm(before, width, 3, stride), nn.ReLU(inplace=True), conv_norm(width, width, 3, 1)
            )
            self.shortcut = nn.Identity() if stride == 1 else conv_norm(before, width, 1, stride)

        def forward(self, x: Any) -> Any:
            return torch.relu_(self.body(x) + self.shortcut(x))

    parts: list[Any] = [conv_norm(3, WIDTHS[0], 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    before = WIDTHS[0]
    for stage, (blocks, width) in enumerate(zip(BLOCKS, WIDTHS, strict=True)):
        for block in range(blocks):
            parts.append(Block(before, width, 2 if stage and not block else 1))
            before = width
    network = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, CLASSES))
    x, y = data(side, batch)
    images, labels = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(y)
    optimizer = torch.optim.SGD(network.parameters(), RATE)

    def runs(model: Any) -> dict[str, timing.Run]:
        def step(steps: int) -> None:
            network.train()
            for _ in range(steps):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(images), labels)
                loss.backward()
                optimizer.step()
                loss.item()

        def predict(steps: int) -> None:
            network.eval()
            with torch.no_grad():
                for _ in range(steps):
                    model(images).numpy()

        return {"step": step, "prediction": predict}

    result = {f"eager {task}": run for task, run in runs(network).items()}
    if compiled:
        result |= {f"compiled {task}": run for task, run in runs(torch.compile(network)).items()}
    return result


def ratio(seconds: dict[str, list[float]], ours: str, theirs: str) -> float | None:
    """Take the median over rounds of ours over theirs: what else the machine does in a round falls on both alike."""
    if ours not in seconds or theirs not in seconds:
        return None
    return timing.statistics.median(a / b for a, b in zip(seconds[ours], seconds[theirs], strict=True))


def rows(libraries: list[str], seconds: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Compare ours on each backend with the peer there, and with torch.nn."""
    median, found = timing.medians(seconds), []
    for task in TASKS:
        for library in libraries:
            if library == "torch":
                continue
            ours = f"{library} ours {task}"
            torch = {kind: ratio(seconds, ours, f"torch {kind} {task}") for kind in ("eager", "compiled")}
            found.append({
                "task": task, "library": library, "ms": 1e3 * median[ours],
                "over_keras_style": ratio(seconds, ours, f"{library} peer {task}"),
                "over_torch": torch["eager"], "over_compiled": torch["compiled"],
            })  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=64, help="rows and columns of an image")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--libraries", default=LIBRARIES)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, choices=(1, 2), default=1)
    parser.add_argument("--compiled", action="store_true", help="time torch.compile too")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        timing.serve(options.worker, options.threads, prepare)
        return

    libraries = timing.installed(options.libraries.split(","))
    record: dict[str, Any] = {"benchmark": "vision", **timing.machine(options.threads)}
    workers = timing.Workers(__file__, libraries, options.threads)
    case = {"side": options.side, "batch": options.batch, "compiled": options.compiled}
    print(f"ResNet-18 on {', '.join(libraries)}", file=sys.stderr)
    seconds = workers.measure(case, options.rounds)
    workers.close()
    results, median = rows(libraries, seconds), timing.medians(seconds)

    def shown(value: float | None) -> str:
        return "–" if value is None else f"{value:.2f}"

    print(timing.heading(f"ResNet-18, images of {options.side}x{options.side}, batch {options.batch}, float32", record))
    keys = ("over_keras_style", "over_torch", "over_compiled")
    header = ["task", "backend", "ours, ms", "/ Keras' style, same backend", "/ torch.nn eager", "/ torch.compile"]
    table = [
        [r["task"], r["library"].partition("-")[2], f"{r['ms']:.1f}", *(shown(r[key]) for key in keys)] for r in results
    ]
    print(timing.table(header, table))
    for task in TASKS:
        for kind in ("eager", "compiled"):
            if f"torch {kind} {task}" in median:
                print(f"\ntorch.nn {kind}, {task}: {1e3 * median[f'torch {kind} {task}']:.1f} ms.")
    print("\nRatios are ours over the peer's, medians over rounds: below 1, ours is faster.")
    timing.save(options.json, record | case | {"rounds": options.rounds, "results": results, "seconds": seconds})


if __name__ == "__main__":
    main()
