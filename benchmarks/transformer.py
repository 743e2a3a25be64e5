"""A small Transformer encoder: course_lib's beside the same built from keras.layers, and PyTorch's own.

    python benchmarks/transformer.py [--json FILE] [--layers 4] [--width 256] [--length 128] [--batch 16] [--threads 2]

Blocks of attention and feed-forward layers (post-norm, exact GELU, padding mask), the mean over positions, ten scores,
softmax cross-entropy, Adam, float32. A training step is one call of ``train_on_batch``, inference one of
``predict_on_batch``; PyTorch does the same in its eager mode and, with --compile, compiled. Ratios are taken round by
round, so that what else the machine does falls on both sides alike.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import _timing as timing
import numpy as np

CLASSES = 10
BACKENDS = ("keras-tensorflow", "keras-jax", "keras-torch")


def data(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sequences, how long each is, and labels."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((case["batch"], case["length"], case["width"]), dtype=np.float32)
    lengths = rng.integers(case["length"] // 2, case["length"] + 1, case["batch"]).astype("int32")
    return x, lengths, rng.integers(0, CLASSES, case["batch"])


def prepare(library: str, **case: Any) -> dict[str, timing.Run]:
    if library == "torch":
        return prepare_torch(case)
    return prepare_keras(case)


def prepare_keras(case: dict[str, Any]) -> dict[str, timing.Run]:
    import keras

    x, lengths, labels = data(case)
    mask = (np.arange(case["length"]) < lengths[:, None])[:, None, None, :]  # (batch, 1, 1, keys)
    runs: dict[str, timing.Run] = {}
    for name, build in (("ours", ours), ("keras.layers", from_keras_layers)):
        sequence = keras.Input((case["length"], case["width"]))
        seen = keras.Input((1, 1, case["length"]), dtype="bool")
        h = keras.layers.GlobalAveragePooling1D()(build(sequence, seen, case))
        model = keras.Model([sequence, seen], keras.layers.Dense(CLASSES)(h))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(1e-4), loss)

        def train(steps: int, model: Any = model) -> None:
            for _ in range(steps):
                model.train_on_batch([x, mask], labels)

        def infer(steps: int, model: Any = model) -> None:
            for _ in range(steps):
                model.predict_on_batch([x, mask])

        runs |= {f"{name} train": train, f"{name} infer": infer}
    return runs


def ours(x: Any, mask: Any, case: dict[str, Any]) -> Any:
    from course_lib.layers.transformer_block import TransformerBlock

    for _ in range(case["layers"]):
        block = TransformerBlock(
            case["width"], case["heads"], 4 * case["width"], "post", activation="gelu", dropout=case["dropout"]
        )
        x = block(x, mask=mask)
    return x


def from_keras_layers(x: Any, mask: Any, case: dict[str, Any]) -> Any:
    from keras import layers

    width, heads, rate = case["width"], case["heads"], case["dropout"]
    seen = layers.Reshape((1, case["length"]))(mask)  # theirs is (batch, queries, keys)
    for _ in range(case["layers"]):
        h = layers.MultiHeadAttention(heads, width // heads)(x, x, attention_mask=seen)
        x = layers.LayerNormalization(epsilon=1e-5)(x + layers.Dropout(rate)(h))
        h = layers.Dense(width)(layers.Dense(4 * width, activation="gelu")(x))
        x = layers.LayerNormalization(epsilon=1e-5)(x + layers.Dropout(rate)(h))
    return x


def prepare_torch(case: dict[str, Any]) -> dict[str, timing.Run]:
    import torch

    x, lengths, labels = data(case)
    sequence, classes = torch.from_numpy(x), torch.from_numpy(labels)
    hidden = torch.arange(case["length"]) >= torch.from_numpy(lengths)[:, None]
    runs: dict[str, timing.Run] = {}

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = torch.nn.TransformerEncoderLayer(
                case["width"], case["heads"], 4 * case["width"], case["dropout"], "gelu", batch_first=True
            )
            # Its own switch to nested tensors skips padded positions, which changes the mean over positions.
            self.encoder = torch.nn.TransformerEncoder(layer, case["layers"], enable_nested_tensor=False)
            self.scores = torch.nn.Linear(case["width"], CLASSES)

        def forward(self, x: Any, hidden: Any) -> Any:
            return self.scores(self.encoder(x, src_key_padding_mask=hidden).mean(1))

    for name in ("torch", "torch compiled")[: 2 if case["compile"] else 1]:
        model: Any = Model()
        optimizer = torch.optim.Adam(model.parameters(), 1e-4)
        model = torch.compile(model) if name == "torch compiled" else model

        def train(steps: int, model: Any = model, optimizer: Any = optimizer) -> None:
            model.train()
            for _ in range(steps):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(sequence, hidden), classes).backward()
                optimizer.step()

        def infer(steps: int, model: Any = model) -> None:
            model.eval()
            with torch.inference_mode():
                for _ in range(steps):
                    model(sequence, hidden).numpy()

        runs |= {f"{name} train": train, f"{name} infer": infer}
    return runs


def ratio(seconds: dict[str, list[float]], ours: str, theirs: str) -> float | None:
    if ours not in seconds or theirs not in seconds:
        return None
    pairs = zip(seconds[ours], seconds[theirs], strict=True)
    return timing.statistics.median(a / b for a, b in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--compile", action="store_true", help="also torch.compile, which takes a minute to start")
    parser.add_argument("--libraries", default=",".join((*BACKENDS, "torch")))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, choices=(1, 2), default=1)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        timing.serve(options.worker, options.threads, prepare)
        return

    libraries = timing.installed(options.libraries.split(","))
    record: dict[str, Any] = {"benchmark": "transformer", **timing.machine(options.threads)}
    names = ("layers", "width", "heads", "length", "batch", "dropout", "compile")
    case = {name: getattr(options, name) for name in names}
    workers = timing.Workers(__file__, libraries, options.threads)
    print(f"{case}", file=sys.stderr)
    seconds = workers.measure(case, options.rounds)
    workers.close()

    median, rows, ratios = timing.medians(seconds), [], {}
    header = ["backend", "what", "ours, ms", "keras.layers, ms", "torch.nn, ms", "ours / keras.layers"]
    header.append("ours / torch.nn")
    for library in libraries:
        for what in ("train", "infer"):
            if library == "torch":
                continue
            mine, keras, torch = f"{library} ours {what}", f"{library} keras.layers {what}", f"torch torch {what}"
            found = [ratio(seconds, mine, keras), ratio(seconds, mine, torch)]
            ratios[f"{library} {what}"] = found
            cells = [f"{1e3 * median[name]:.1f}" if name in median else "" for name in (mine, keras, torch)]
            rows.append(
                [library.removeprefix("keras-"), what, *cells, *("" if r is None else f"{r:.2f}" for r in found)]
            )
    if options.compile and "torch" in libraries:
        for what in ("train", "infer"):
            compiled = f"{1e3 * median[f'torch torch compiled {what}']:.1f}"
            rows += [["torch.compile", what, "", "", compiled, "", ""]]
    sizes = f"{case['layers']} blocks of width {case['width']}, {case['length']} positions, batch {case['batch']}"
    print(timing.heading(f"A Transformer encoder: {sizes}, float32", record))
    print(timing.table(header, rows))
    timing.save(options.json, record | case | {"rounds": options.rounds, "ratios": ratios, "seconds": seconds})


if __name__ == "__main__":
    main()
