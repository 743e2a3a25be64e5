"""One epoch of linear regression: minimize, a bare NumPy loop, a torch loop, and Keras' fit on each backend.

    python benchmarks/linear_regression.py [--json FILE] [--batches 32,256,100000] [--threads 2]

100,000 examples of 100 features in float32, mean squared error, plain descent; every contender shuffles before the
epoch. The time is that of one call that makes one epoch, after a first one has compiled what there is to compile. Such
a call of `minimize` also evaluates loss and gradient over all examples twice, at the start and at the end.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import _timing as timing
import numpy as np

N, DIM, RATE = 100_000, 100, 0.01
OURS = "numpy minimize"
LABELS = {
    OURS: "`minimize`",
    "numpy bare": "bare NumPy loop",
    "torch loop": "torch loop",
    "keras-tensorflow fit": "Keras TF `fit`",
    "keras-jax fit": "Keras JAX `fit`",
    "keras-torch fit": "Keras torch `fit`",
}


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((N, DIM), dtype=np.float32)
    return inputs, inputs @ rng.standard_normal(DIM, dtype=np.float32)


def prepare(library: str, batch: int) -> dict[str, timing.Run]:
    makers = {"numpy": prepare_numpy, "torch": prepare_torch}
    return makers.get(library, prepare_keras)(batch)


def prepare_numpy(batch: int) -> dict[str, timing.Run]:
    from course_lib.optimization.descent import minimize
    from course_lib.optimization.objectives import least_squares
    from course_lib.optimization.optimizers import sgd

    x, y = data()
    objective, optimizer, steps = least_squares(x, y), sgd(RATE), -(-N // batch)
    start = np.zeros(DIM, np.float32)
    size = None if batch == N else batch

    def ours(epochs: int) -> None:
        for seed in range(epochs):
            minimize(objective, optimizer, start, steps=steps, batch_size=size, record_every="epoch", rng=seed)

    rng = np.random.default_rng(0)

    def bare(epochs: int) -> None:
        w = start.copy()
        for _ in range(epochs):
            order = rng.permutation(N)
            for begin in range(0, N, batch):
                rows = order[begin : begin + batch]
                inputs = x[rows]
                w -= (2 * RATE / len(rows)) * ((inputs @ w - y[rows]) @ inputs)

    return {"minimize": ours, "bare": bare}


def prepare_torch(batch: int) -> dict[str, timing.Run]:
    import torch

    x, y = (torch.from_numpy(array) for array in data())
    model = torch.nn.Linear(DIM, 1, bias=False)
    optimizer, loss = torch.optim.SGD(model.parameters(), lr=RATE), torch.nn.MSELoss()

    def loop(epochs: int) -> None:
        for _ in range(epochs):
            for rows in torch.randperm(N).split(batch):
                optimizer.zero_grad()
                loss(model(x[rows]).squeeze(1), y[rows]).backward()
                optimizer.step()

    return {"loop": loop}


def prepare_keras(batch: int) -> dict[str, timing.Run]:
    import keras

    x, y = data()
    model = keras.Sequential([keras.Input((DIM,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(RATE), "mse")

    def fit(epochs: int) -> None:
        for _ in range(epochs):
            model.fit(x, y, batch_size=batch, epochs=1, verbose=0)

    return {"fit": fit}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", default=f"32,256,{N}")
    parser.add_argument("--libraries", default=",".join(timing.NEEDS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, choices=(1, 2), default=1)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        timing.serve(options.worker, options.threads, prepare)
        return

    libraries = timing.installed(options.libraries.split(","))
    record: dict[str, Any] = {"benchmark": "linear regression", **timing.machine(options.threads)}
    workers, results = timing.Workers(__file__, libraries, options.threads), []
    for batch in map(int, options.batches.split(",")):
        print(f"batch {batch}", file=sys.stderr)
        seconds = workers.measure({"batch": batch}, options.rounds)
        median = timing.medians(seconds)
        over_ours = {name: value / median[OURS] for name, value in median.items()}
        results.append({"batch": batch, "ms": {k: 1e3 * v for k, v in median.items()}, "over_ours": over_ours}
                       | {"seconds": seconds})  # fmt: skip
    workers.close()

    names = [name for name in LABELS if name in results[0]["ms"]]
    rows = [
        [LABELS[name], *(f"{row['ms'][name]:.1f} ({row['over_ours'][name]:.1f})" for row in results)] for name in names
    ]
    print(timing.heading("One epoch of linear regression, milliseconds", record))
    print(timing.table(["", *(f"batch {row['batch']:,} (× `minimize`)" for row in results)], rows))
    fits = [row["over_ours"][name] for row in results if row["batch"] == 32 for name in names if name.endswith("fit")]
    if fits:
        print(f"\nAt batch 32 `minimize` is {min(fits):.1f} times as fast as the fastest `fit` (aim: 10).")
    timing.save(options.json, record | {"rounds": options.rounds, "results": results})


if __name__ == "__main__":
    main()
