"""A recurrent model in Keras: our layer beside Keras' own on each backend, and beside torch.nn.

    python benchmarks/recurrent.py [--json FILE] [--cell lstm] [--shapes 64-64-64-128] [--masked] [--threads 2]

A shape is batch-steps-inputs-units. The model is one recurrent layer that reads numbers, and a linear layer on its last
output; float32, the same weights, plain descent on cross-entropy. A training step is `train_on_batch`, inference is
`predict_on_batch`, both as Keras compiles them; for torch the same in a loop of its own, eagerly.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import Any

import _timing as timing
import numpy as np

AIM = 1.05  # of Keras' own layer on the same backend: the noise of a measurement
CLASSES, RATE = 10, 0.01
SHAPES = "32-50-8-32,64-64-64-128,32-64-256-256"
LIBRARIES = "keras-tensorflow,keras-jax,keras-torch,torch"


def data(batch: int, steps: int, inputs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers, labels, and a mask that leaves out up to half of the steps, at the end."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, steps, inputs), dtype=np.float32)
    lengths = rng.integers(steps // 2, steps + 1, batch)
    return x, rng.integers(0, CLASSES, batch), np.arange(steps) < lengths[:, None]


def prepare(library: str, cell: str, shape: list[int], masked: bool) -> dict[str, timing.Run]:
    return (prepare_torch if library == "torch" else prepare_keras)(cell, *shape, masked)


def prepare_keras(cell: str, batch: int, steps: int, inputs: int, units: int, masked: bool) -> dict[str, timing.Run]:
    import keras

    from course_lib.layers.recurrent import GRUCell, LSTMCell, Recurrent, RNNCell

    x, labels, mask = data(batch, steps, inputs)
    if masked:
        x = np.where(mask[:, :, None], x, np.float32(0))
    ours = {"rnn": RNNCell, "lstm": LSTMCell, "gru": GRUCell}[cell]
    theirs = {"rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell]
    runs: dict[str, timing.Run] = {}
    weights: list[np.ndarray] = []
    for name, layer in (("ours", Recurrent(ours(units, seed=0))), ("keras", theirs(units))):
        front = [keras.Input((steps, inputs))] + ([keras.layers.Masking()] if masked else [])
        model = keras.Sequential([*front, layer, keras.layers.Dense(CLASSES)])
        model.compile(keras.optimizers.SGD(RATE), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        weights = weights or model.get_weights()
        model.set_weights(weights)
        runs |= {f"{name} train": trainer(model, x, labels), f"{name} infer": reader(model, x)}
    return runs


def trainer(model: Any, x: np.ndarray, labels: np.ndarray) -> timing.Run:
    def train(steps: int) -> None:
        for _ in range(steps):
            model.train_on_batch(x, labels)  # gives the loss, so it waits for the step

    return train


def reader(model: Any, x: np.ndarray) -> timing.Run:
    def infer(steps: int) -> None:
        for _ in range(steps):
            model.predict_on_batch(x)

    return infer


def prepare_torch(cell: str, batch: int, steps: int, inputs: int, units: int, masked: bool) -> dict[str, timing.Run]:
    import torch

    x, labels, mask = data(batch, steps, inputs)
    numbers, classes, lengths = torch.from_numpy(x), torch.from_numpy(labels), torch.from_numpy(mask.sum(1))
    kind = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]
    layer, head = kind(inputs, units, batch_first=True), torch.nn.Linear(units, CLASSES)
    optimizer = torch.optim.SGD([*layer.parameters(), *head.parameters()], lr=RATE)

    def scores() -> Any:
        if not masked:
            return head(layer(numbers)[0][:, -1])
        pack = torch.nn.utils.rnn.pack_padded_sequence(numbers, lengths, batch_first=True, enforce_sorted=False)
        last = layer(pack)[1]
        return head((last[0] if cell == "lstm" else last)[0])

    def train(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(scores(), classes)
            loss.backward()
            optimizer.step()
            loss.item()

    def infer(steps: int) -> None:
        with torch.no_grad():
            for _ in range(steps):
                scores().numpy()

    return {"torch train": train, "torch infer": infer}


def ratio(seconds: dict[str, list[float]], ours: str, theirs: str) -> float | None:
    """Round by round, so that what else the machine does falls on both alike."""
    if theirs not in seconds:
        return None
    return statistics.median(a / b for a, b in zip(seconds[ours], seconds[theirs], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default=SHAPES)
    parser.add_argument("--cell", default="lstm", choices=("rnn", "lstm", "gru"))
    parser.add_argument("--masked", action="store_true", help="up to half of the steps are filling")
    parser.add_argument("--libraries", default=LIBRARIES)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, choices=(1, 2), default=1)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        timing.serve(options.worker, options.threads, prepare)
        return

    libraries = timing.installed(options.libraries.split(","))
    record: dict[str, Any] = {"benchmark": "recurrent", **timing.machine(options.threads)}
    workers, rows, results, worst = timing.Workers(__file__, libraries, options.threads), [], [], 0.0
    for shape in options.shapes.split(","):
        print(f"shape {shape}", file=sys.stderr)
        case = {"cell": options.cell, "shape": [int(n) for n in shape.split("-")], "masked": options.masked}
        seconds = workers.measure(case, options.rounds)
        results.append({"shape": shape, "seconds": seconds})
        median = timing.medians(seconds)
        for library in libraries:
            for mode in ("train", "infer"):
                if library == "torch":
                    rows.append([shape, "torch.nn", mode, "", f"{1e3 * median[f'torch torch {mode}']:.2f}", "", ""])
                    continue
                ours = f"{library} ours {mode}"
                keras, torch = (
                    ratio(seconds, ours, f"{library} keras {mode}"),
                    ratio(seconds, ours, f"torch torch {mode}"),
                )
                worst = max(worst, keras or 0)
                rows.append([
                    shape, library, mode, f"{1e3 * median[ours]:.2f}", f"{1e3 * median[f'{library} keras {mode}']:.2f}",
                    f"{keras:.2f}", "" if torch is None else f"{torch:.2f}",
                ])  # fmt: skip
    workers.close()

    title = f"A model with one {options.cell.upper()} layer{', masked' if options.masked else ''}, float32"
    print(timing.heading(title, record))
    header = ["shape", "library", "step", "ours, ms", "its own, ms", "ours / Keras' own", "ours / torch.nn"]
    print(timing.table(header, rows))
    if worst:
        print(f"\nOurs takes at most {worst:.2f} times Keras' own layer on the same backend (aim: {AIM:g}).")
    fixed = {"cell": options.cell, "masked": options.masked, "rounds": options.rounds}
    timing.save(options.json, record | fixed | {"results": results})


if __name__ == "__main__":
    main()
