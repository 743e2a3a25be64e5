"""What a step of each optimizer costs: per parameter, against the bytes that must move, against torch and Keras.

    python benchmarks/optimizers.py [--json FILE] [--sizes 1000,1000000] [--optimizers adam,lion] [--threads 2]

Parameters are one float32 matrix. The bytes that must move are those of gradient, parameters and slots read once and
parameters and slots written once. The bandwidth is that of ``np.add(a, b, out=a)``, the same traffic in small (it too
writes only what it has just read), over two arrays that together take the same memory as the optimizer's: caches and
call overhead then favour neither.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import _timing as timing
import numpy as np

SHAPES = {10**3: (25, 40), 10**4: (100, 100), 10**5: (250, 400), 10**6: (1000, 1000), 10**7: (2500, 4000)}
RATE = 1e-3

# name: (slots, ours, torch's class and options, Keras' class and options); only where epsilon stands may differ
OPTIMIZERS: dict[str, tuple[int, Any, Any, Any]] = {
    "sgd": (0, ("sgd", {}), ("SGD", {}), ("SGD", {})),
    "momentum": (1, ("sgd", {"momentum": 0.9}), ("SGD", {"momentum": 0.9}), ("SGD", {"momentum": 0.9})),
    "nesterov": (
        1,
        ("sgd", {"momentum": 0.9, "nesterov": True}),
        ("SGD", {"momentum": 0.9, "nesterov": True}),
        ("SGD", {"momentum": 0.9, "nesterov": True}),
    ),
    "adagrad": (1, ("adagrad", {}), ("Adagrad", {}), ("Adagrad", {})),
    "rmsprop": (1, ("rmsprop", {}), ("RMSprop", {}), ("RMSprop", {})),
    "adadelta": (2, ("adadelta", {}), ("Adadelta", {}), ("Adadelta", {})),
    "adam": (2, ("adam", {}), ("Adam", {}), ("Adam", {})),
    "adamw": (2, ("adamw", {}), ("AdamW", {}), ("AdamW", {})),
    "nadam": (2, ("nadam", {}), ("NAdam", {}), ("Nadam", {})),
    "amsgrad": (3, ("amsgrad", {}), ("Adam", {"amsgrad": True}), ("Adam", {"amsgrad": True})),
    "lion": (1, ("lion", {}), None, ("Lion", {})),
    # Its cost is that of matrix products, not of moving bytes; at 1e7 parameters one step takes seconds.
    "muon": (1, ("muon", {}), ("Muon", {}), ("Muon", {})),
}
LARGEST = {"muon": 10**6}
PEERS = {
    "torch loop": "torch loop",
    "torch foreach": "torch foreach",
    "torch fused": "torch fused",
    "keras-tensorflow step": "Keras TF",
    "keras-jax step": "Keras JAX",
    "keras-torch step": "Keras torch",
}


def arrays(size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return tuple(rng.standard_normal(SHAPES[size], dtype=np.float32) for _ in range(2))


def prepare(library: str, optimizer: str, size: int) -> dict[str, timing.Run]:
    slots, ours, torchs, kerass = OPTIMIZERS[optimizer]
    if library == "numpy":
        return prepare_numpy(slots, *ours, size)
    if library == "torch":
        return prepare_torch(*torchs, size) if torchs else {}
    return {"step": prepare_keras(library, *kerass, size)}


def prepare_numpy(slots: int, name: str, options: dict[str, Any], size: int) -> dict[str, timing.Run]:
    from course_lib.optimization import optimizers

    optimizer = getattr(optimizers, name)(RATE, **options)
    params, grads = arrays(size)
    state = optimizer.init(params)

    def in_place(steps: int) -> None:
        nonlocal state
        for _ in range(steps):
            state = optimizer.update_in_place(params, grads, state)

    other, other_state = params.copy(), optimizer.init(params)

    def pure(steps: int) -> None:
        nonlocal other, other_state
        for _ in range(steps):
            updates, other_state = optimizer.update(grads, other_state, other)
            other = optimizers.apply_updates(other, updates)

    half = (2 + slots) * size // 2
    a, b = np.zeros(half, np.float32), np.ones(half, np.float32)

    def move(times: int) -> None:
        for _ in range(times):
            np.add(a, b, out=a)

    return {"in place": in_place, "pure": pure, "add": move}


def prepare_torch(name: str, options: dict[str, Any], size: int) -> dict[str, timing.Run]:
    import torch

    runs = {}
    for variant, kind in (
        ("loop", {"foreach": False, "fused": False}), ("foreach", {"foreach": True}), ("fused", {"fused": True}),
    ):  # fmt: skip
        parameter, gradient = (torch.from_numpy(array) for array in arrays(size))
        parameter.requires_grad_()
        parameter.grad = gradient
        for more in (kind, {key: value for key, value in kind.items() if key != "fused"}):
            try:  # not every optimizer has every variant, nor the options to ask for it
                optimizer = getattr(torch.optim, name)([parameter], lr=RATE, **options, **more)
                optimizer.step()
            except (TypeError, RuntimeError):
                if variant == "loop" and more == {"foreach": False}:
                    optimizer = getattr(torch.optim, name)([parameter], lr=RATE, **options)
                    break
                continue
            break
        else:
            continue
        if variant == "fused" and not optimizer.defaults.get("fused"):
            continue
        if variant == "foreach" and not optimizer.defaults.get("foreach"):
            continue

        def run(steps: int, optimizer: Any = optimizer) -> None:
            for _ in range(steps):
                optimizer.step()

        runs[variant] = run
    return runs


def prepare_keras(library: str, name: str, options: dict[str, Any], size: int) -> timing.Run:
    """The step as the backend's trainer in Keras runs it: in a graph, jitted with donated arrays, or eagerly."""
    import keras

    optimizer = getattr(keras.optimizers, name)(RATE, **options)
    params, grads = arrays(size)
    variable, gradient = keras.Variable(params, name="kernel"), keras.ops.convert_to_tensor(grads)
    optimizer.build([variable])
    if library == "keras-tensorflow":
        import tensorflow as tf

        step = tf.function(lambda g: optimizer.apply([g], [variable]))

        def run(steps: int) -> None:
            for _ in range(steps):
                step(gradient)
            variable.numpy()[0, 0]  # the kernels have ended by now

    elif library == "keras-jax":
        import jax

        def apply(trainable: Any, own: Any, g: Any) -> Any:
            return optimizer.stateless_apply(own, [g], trainable)

        jitted = jax.jit(apply, donate_argnums=(0, 1))
        trainable, own = [jax.numpy.array(params)], [jax.numpy.array(v.value) for v in optimizer.variables]

        def run(steps: int) -> None:
            nonlocal trainable, own
            for _ in range(steps):
                trainable, own = jitted(trainable, own, gradient)
            jax.block_until_ready(trainable)

    else:
        import torch

        def run(steps: int) -> None:
            with torch.no_grad():
                for _ in range(steps):
                    optimizer.apply([gradient], [variable])

    return run


def describe(size: int, optimizer: str, median: dict[str, float]) -> dict[str, Any]:
    slots = OPTIMIZERS[optimizer][0]
    bytes_needed = (3 + 2 * slots) * 4 * size
    bandwidth = 3 * ((2 + slots) * size // 2) * 4 / median["numpy add"]
    ours = median["numpy in place"]
    return {
        "size": size,
        "optimizer": optimizer,
        "ns_per_parameter": ours / size * 1e9,
        "ns_per_parameter_pure": median["numpy pure"] / size * 1e9,
        "bandwidth_GB_per_s": bandwidth / 1e9,
        "times_the_bytes": ours * bandwidth / bytes_needed,
        "peer_over_ours": {label: median[name] / ours for name, label in PEERS.items() if name in median},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(map(str, SHAPES)), help=f"of {', '.join(map(str, SHAPES))}")
    parser.add_argument("--optimizers", default=",".join(OPTIMIZERS))
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
    record: dict[str, Any] = {"benchmark": "optimizers", **timing.machine(options.threads), "rounds": options.rounds}
    workers, results = timing.Workers(__file__, libraries, options.threads), []
    for size in map(int, options.sizes.split(",")):
        for optimizer in options.optimizers.split(","):
            if size > LARGEST.get(optimizer, size):
                continue
            print(f"{optimizer}, {size:,} parameters", file=sys.stderr)
            seconds = workers.measure({"optimizer": optimizer, "size": size}, options.rounds)
            results.append(describe(size, optimizer, timing.medians(seconds)) | {"seconds": seconds})
    workers.close()

    labels = [label for label in PEERS.values() if any(label in row["peer_over_ours"] for row in results)]
    rows = [
        [
            f"{row['size']:.0e} {row['optimizer']}", f"{row['ns_per_parameter']:.2f}",
            f"{row['ns_per_parameter_pure']:.2f}", f"{row['bandwidth_GB_per_s']:.0f}", f"{row['times_the_bytes']:.1f}",
            *(f"{row['peer_over_ours'][label]:.1f}" if label in row["peer_over_ours"] else "–" for label in labels),
        ]
        for row in results
    ]  # fmt: skip
    print(timing.heading("Optimizer steps", record))
    print(timing.table(["size, optimizer", "in place, ns/parameter", "pure", "GB/s", "× the bytes", *labels], rows))
    print("\nPeers: their time over that of the step in place; above 1, the step in place is faster.")
    near = [row for row in results if row["times_the_bytes"] <= 2]
    print(f"\nWithin 2 times the bytes that must move: {len(near)} of {len(results)} rows.")
    for label in labels:
        ratios = [row["peer_over_ours"][label] for row in results if label in row["peer_over_ours"]]
        print(f"Ahead of {label}: {sum(ratio > 1 for ratio in ratios)} of {len(ratios)} rows.")
    timing.save(options.json, record | {"results": results})


if __name__ == "__main__":
    main()
