"""A small BERT and a small GPT: the package's beside keras_hub's and transformers', in one run.

    python benchmarks/bert.py [--json FILE] [--tasks train,infer,generate] [--threads 2] [--rounds 5]

Training is one step of masked language modelling (AdamW, dropout 0.1, 20 of 128 tokens masked), inference gives NumPy
the scores of all tokens at all positions, generation writes 112 tokens greedily behind 16. All in float32. Each way of
running stands in a process of its own, and the processes take turns, round after round; ratios are taken round by
round. Peak memory is that of the process, what importing its libraries takes included (and given beside it).

Training takes three forms. "train": each as its documentation trains it, which gives transformers the scores of all
positions, and keras_hub and ours those of the masked positions only. "train masked": the same saving for all, so
transformers gets a head that does it. "train all": scores at every position for all. Where positions are given ours
saves more: its last block computes nothing else.
"""

from __future__ import annotations

import argparse
import resource
import sys
from typing import Any

import _timing as timing
import numpy as np

MASKED = 20  # of 128 positions, 15 %
PROMPT = 16
RATE, DECAY = 1e-4, 0.01
SIZES = ("layers", "width", "heads", "hidden", "length", "batch", "vocabulary", "dropout")
# The library, then how Keras compiles: as it chooses itself, or by XLA.
OURS = ("ours tensorflow", "ours tensorflow-jit", "ours jax", "ours torch")
HUB = ("keras_hub tensorflow", "keras_hub tensorflow-jit", "keras_hub jax", "keras_hub torch")
TORCH = ("transformers eager", "transformers compiled")
TASKS = ("train", "train masked", "train all", "infer", "generate")


def data(case: dict[str, Any]) -> dict[str, np.ndarray]:
    """Tokens, which of them are masked, and what stood there."""
    rng = np.random.default_rng(0)
    batch, length = case["batch"], case["length"]
    tokens = rng.integers(5, case["vocabulary"], (batch, length)).astype("int32")
    count = max(1, round(0.15 * length)) if length != 128 else MASKED
    positions = np.stack([np.sort(rng.permutation(length)[:count]) for _ in range(batch)]).astype("int32")
    chosen = np.take_along_axis(tokens, positions, 1)
    labels = np.full_like(tokens, -100)
    np.put_along_axis(labels, positions, chosen, 1)
    np.put_along_axis(tokens, positions, 4, 1)
    return {"tokens": tokens, "positions": positions, "chosen": chosen, "labels": labels}


def prepare(library: str, task: str, **case: Any) -> dict[str, timing.Run]:
    kind, _, backend = library.partition(" ")
    if kind == "transformers":
        return {task: run_transformers(backend, task, case)}
    jit = True if backend.endswith("-jit") else "auto"
    return {task: (run_ours if kind == "ours" else run_hub)(jit, task, case)}


BASE: dict[str, float] = {}  # memory after the imports


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory() -> dict[str, float]:
    return {"peak": megabytes(), "imports": BASE["imports"]}


# --- Ours -------------------------------------------------------------------------------------------------------------


def run_ours(jit: Any, task: str, case: dict[str, Any]) -> timing.Run:
    import keras

    from course_lib.models import bert, generation, gpt, heads

    BASE["imports"] = megabytes()
    given = data(case)
    sizes = {name: case[name] for name in ("vocabulary", "width", "layers", "heads", "hidden", "length")}
    drop = {"dropout": case["dropout"], "attention_dropout": case["dropout"]}
    if task == "generate":
        writer = gpt.gpt(gpt.GptConfig(**sizes, **drop), seed=0)
        writer.compile(jit_compile=jit)
        prompt = given["tokens"][:1, :PROMPT]
        return repeat(lambda: generation.generate(writer, prompt, case["length"] - PROMPT))
    config = bert.BertConfig(**sizes, **drop, padding=None, pooler=False)  # nothing is padded: no mask
    model = heads.MaskedLanguageModel(bert.bert(config, seed=0), seed=0)
    optimizer = keras.optimizers.AdamW(RATE, weight_decay=DECAY)
    model.compile(optimizer, heads.MaskedCrossEntropy(), jit_compile=jit)
    tokens = {"tokens": given["tokens"]}
    if task == "infer":
        return repeat(lambda: model.predict_on_batch(tokens))
    if task == "train all":
        return repeat(lambda: model.train_on_batch(tokens, given["labels"]))
    masked = tokens | {"positions": given["positions"]}
    return repeat(lambda: model.train_on_batch(masked, given["chosen"]))


def repeat(step: Any) -> timing.Run:
    def run(steps: int) -> None:
        for _ in range(steps):
            step()

    return run


# --- keras_hub --------------------------------------------------------------------------------------------------------


def run_hub(jit: Any, task: str, case: dict[str, Any]) -> timing.Run:
    import keras
    import keras_hub

    BASE["imports"] = megabytes()
    given = data(case)
    sizes = {
        "vocabulary_size": case["vocabulary"], "num_layers": case["layers"], "num_heads": case["heads"],
        "hidden_dim": case["width"], "intermediate_dim": case["hidden"], "dropout": case["dropout"],
        "max_sequence_length": case["length"],
    }  # fmt: skip
    if task == "generate":
        writer = keras_hub.models.GPT2CausalLM(keras_hub.models.GPT2Backbone(**sizes))
        writer.compile(sampler="greedy", jit_compile=jit)
        length = case["length"]
        prompt = {
            "token_ids": np.pad(given["tokens"][:1, :PROMPT], ((0, 0), (0, length - PROMPT))),
            "padding_mask": np.arange(length)[None] < PROMPT,
        }
        return repeat(lambda: np.asarray(writer.generate(prompt, stop_token_ids=None)["token_ids"]))
    model = keras_hub.models.BertMaskedLM(keras_hub.models.BertBackbone(**sizes))
    optimizer = keras.optimizers.AdamW(RATE, weight_decay=DECAY)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, weighted_metrics=[], jit_compile=jit)
    every = np.tile(np.arange(case["length"], dtype="int32"), (case["batch"], 1))
    x = {
        "token_ids": given["tokens"], "segment_ids": np.zeros_like(given["tokens"]),
        "padding_mask": np.ones_like(given["tokens"]), "mask_positions": every,
    }  # fmt: skip
    if task == "infer":
        return repeat(lambda: model.predict_on_batch(x))
    if task == "train all":
        weights = (given["labels"] >= 0).astype("float32")
        labels = np.maximum(given["labels"], 0)
        return repeat(lambda: model.train_on_batch(x, labels, weights))
    x["mask_positions"] = given["positions"]
    return repeat(lambda: model.train_on_batch(x, given["chosen"]))


# --- transformers -----------------------------------------------------------------------------------------------------


def run_transformers(how: str, task: str, case: dict[str, Any]) -> timing.Run:
    import torch
    import transformers

    given = {name: torch.from_numpy(array).long() for name, array in data(case).items()}
    if task == "generate":
        config: Any = transformers.GPT2Config(
            vocab_size=case["vocabulary"], n_embd=case["width"], n_layer=case["layers"], n_head=case["heads"],
            n_inner=case["hidden"], n_positions=case["length"], bos_token_id=None, eos_token_id=None,
        )  # fmt: skip
        model: Any = transformers.GPT2LMHeadModel(config)
        BASE["imports"] = megabytes()
        model.eval()
        if how == "compiled":
            model.forward = torch.compile(model.forward)
        cache = {"cache_implementation": "static"} if how == "compiled" else {}
        prompt, new = given["tokens"][:1, :PROMPT], case["length"] - PROMPT
        there = torch.ones_like(prompt)

        def write() -> Any:
            with torch.inference_mode():
                return model.generate(
                    prompt, attention_mask=there, max_new_tokens=new, do_sample=False, pad_token_id=0, **cache
                ).numpy()

        assert write().shape[1] == case["length"]
        return repeat(write)

    config = transformers.BertConfig(
        vocab_size=case["vocabulary"], hidden_size=case["width"], num_hidden_layers=case["layers"],
        num_attention_heads=case["heads"], intermediate_size=case["hidden"], max_position_embeddings=case["length"],
        hidden_dropout_prob=case["dropout"], attention_probs_dropout_prob=case["dropout"],
    )  # fmt: skip
    network = transformers.BertForMaskedLM(config)
    BASE["imports"] = megabytes()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    there = torch.ones_like(given["tokens"])
    rows = torch.arange(case["batch"])[:, None]

    def loss_all() -> Any:
        return network(given["tokens"], attention_mask=there, labels=given["labels"]).loss

    def loss_masked() -> Any:
        found = network.bert(given["tokens"], attention_mask=there).last_hidden_state[rows, given["positions"]]
        return torch.nn.functional.cross_entropy(network.cls(found).flatten(0, 1), given["chosen"].flatten())

    def scores() -> Any:
        return network(given["tokens"], attention_mask=there).logits

    loss: Any = loss_masked if task == "train masked" else loss_all
    if how == "compiled":
        loss, scores = torch.compile(loss), torch.compile(scores)

    def train() -> None:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        value.item()

    def infer() -> None:
        with torch.inference_mode():
            scores().numpy()

    network.train(task != "infer")
    return repeat(infer if task == "infer" else train)


# --- The run ----------------------------------------------------------------------------------------------------------


def fastest(seconds: dict[str, list[float]], kind: str) -> str:
    """Name the fastest way of a library: the least median over rounds."""
    median = timing.medians(seconds)
    return min((name for name in median if name.split()[0] in kind.split()), key=lambda name: median[name])


def ratio(theirs: list[float], ours: list[float]) -> float:
    """Say how many times as fast ours is, as the median over rounds."""
    return timing.statistics.median(a / b for a, b in zip(theirs, ours, strict=True))


def measure(task: str, case: dict[str, Any], names: list[str], options: Any) -> dict[str, Any]:
    """Time every way of running one task, in processes that take turns."""
    workers = timing.Workers(__file__, names, options.threads)
    try:
        seconds = workers.measure({"task": task, **case}, options.rounds)
        used = {name: workers.ask(name, do="memory") for name in names}
    finally:
        workers.close()
    seconds = {name: seconds[f"{name} {task}"] for name in names}
    return {"seconds": seconds, "memory": used}


def show(task: str, found: dict[str, Any], case: dict[str, Any]) -> str:
    seconds, median = found["seconds"], timing.medians(found["seconds"])
    ours = fastest(seconds, "ours") if any(name.startswith("ours") for name in seconds) else None
    tokens = case["length"] - PROMPT if task == "generate" else case["batch"] * case["length"]
    rows = []
    for name in seconds:
        used = found["memory"][name]
        cells = [name, f"{1e3 * median[name]:.1f}", f"{tokens / median[name]:.0f}"]
        cells.append(f"{ratio(seconds[name], seconds[ours]):.2f}" if ours else "")
        rows.append([*cells, f"{used['peak']:.0f}", f"{used['peak'] - used['imports']:.0f}"])
    header = [task, "ms", "tokens/s", "time / that of our fastest", "peak memory, MB", "above imports, MB"]
    return timing.table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = {
        "layers": 4, "width": 256, "heads": 4, "hidden": 1024, "length": 128, "batch": 16, "vocabulary": 8192,
    }  # fmt: skip
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--ways", default=",".join((*OURS, *HUB, *TORCH)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, choices=(1, 2), default=1)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        timing.serve(options.worker, options.threads, prepare, memory)
        return

    names = timing.installed(options.ways.split(","))
    record: dict[str, Any] = {"benchmark": "bert", **timing.machine(options.threads)}
    case = {name: getattr(options, name) for name in SIZES}
    results: dict[str, Any] = {}
    sizes = f"{case['layers']} blocks of width {case['width']}, {case['length']} positions, batch {case['batch']}"
    print(timing.heading(f"BERT and GPT: {sizes}, vocabulary {case['vocabulary']}, float32", record))
    for task in options.tasks.split(","):
        print(task, file=sys.stderr)
        results[task] = measure(task, case, names, options)
        print(show(task, results[task], case) + "\n", flush=True)
    timing.save(options.json, record | case | {"rounds": options.rounds, "results": results})


if __name__ == "__main__":
    main()
