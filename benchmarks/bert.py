"""A small BERT and a small GPT: the package's beside keras_hub's and transformers', in one run.

    python benchmarks/bert.py [--json FILE] [--parts tasks,threads,curves,profile] [--tasks train,infer] [--rounds 5]

Training is one step of masked language modelling (AdamW, dropout 0.1, 20 of 128 tokens masked), inference gives NumPy
the scores of all tokens at all positions, generation writes 112 tokens greedily behind 16. All in float32. Each way of
running stands in a process of its own, and the processes take turns, round after round; ratios are taken round by
round. Peak memory is that of the process, what importing its libraries takes included (and given beside it).

"train": each as its documentation trains it, which gives transformers the scores of all positions, and keras_hub and
ours those of the masked positions only; and transformers with a head that makes the same saving ("masked"). "train
all": scores at every position for all. Where positions are given ours saves more: its last block computes nothing else.

The parts: "tasks" are these with one thread, and what was asked of ours beside what was found; "threads" some of them
with two; "curves" the time of a training step, each with its scores at masked positions only, against length, batch,
layers and vocabulary; "profile" what a training step's time is made of.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from pathlib import Path
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
MASKED_TORCH = ("transformers masked eager",)  # with a head of our own, so in training only
TASKS = ("train", "train all", "infer", "generate")
# The ways that were near the fastest with one thread.
TWO_THREADS = ("ours tensorflow", "ours tensorflow-jit", "keras_hub tensorflow", "keras_hub tensorflow-jit", *TORCH)
IN_CURVES = ("ours tensorflow", "keras_hub tensorflow", "transformers masked eager")
CURVES = {
    "length": (32, 128, 512),
    "batch": (1, 4, 16, 32),
    "layers": (1, 2, 4, 8),
    "vocabulary": (1000, 8192, 30522),
}
# What is asked of ours: how many times as fast as the fastest of some ways it is to be.
AIMS = (
    ("training, each as its documentation does it", "train", (*HUB, *TORCH), 1.5),
    ("training, scores at masked positions only for all", "train", (*HUB, *MASKED_TORCH), 1.05),
    ("inference, beside transformers", "infer", TORCH, 1.0),
    ("inference, beside keras_hub", "infer", HUB, 1.0),
    ("generation", "generate", (*HUB, *TORCH), 1.2),
)
ABOUT_TASKS = """As documented, keras_hub and ours train on the scores of the masked positions, transformers on those of
all; "transformers masked" is transformers with a head that saves as much. "train all": the scores of all positions, for
all. "-jit": compiled by XLA. Peak memory holds what importing the libraries takes, of which TensorFlow has the most."""
ABOUT_PROFILE = """Each row is the step with a part left out. "No gradients" reads and computes the loss.
"Matrix products alone" are those of the step, forwards and backwards, one after another, with nothing between them."""


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
    if task == "profile":
        return run_profile(case)
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

    loss: Any = loss_masked if "masked" in how else loss_all
    if "compiled" in how:
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


# --- What a training step of ours is made of --------------------------------------------------------------------------


def run_profile(case: dict[str, Any]) -> dict[str, timing.Run]:
    import keras
    import tensorflow as tf

    from course_lib.models import bert, heads

    given = data(case)
    sizes = {name: case[name] for name in ("vocabulary", "width", "layers", "heads", "hidden", "length")}
    config = bert.BertConfig(**sizes, dropout=0.0, attention_dropout=0.0, padding=None, pooler=False)
    model = heads.MaskedLanguageModel(bert.bert(config, seed=0), seed=0)
    model.compile(keras.optimizers.SGD(RATE), heads.MaskedCrossEntropy())
    masked = {"tokens": given["tokens"], "positions": given["positions"]}
    rng = np.random.default_rng(0)
    pairs = [
        [tf.constant(rng.normal(size=size), "float32") for size in ((many, m, k), (many, k, n), (many, m, n))]
        for many, m, k, n in products(case, given["positions"].shape[1])
    ]

    def multiply() -> None:
        for a, b, result in pairs:
            tf.matmul(a, b)
            tf.matmul(a, result, transpose_a=True)  # the gradients of both factors
            tf.matmul(result, b, transpose_b=True)

    return {
        "whole step": run_ours("auto", "train", case),
        "without dropout": run_ours("auto", "train", case | {"dropout": 0.0}),
        "without dropout, SGD for AdamW": repeat(lambda: model.train_on_batch(masked, given["chosen"])),
        "no gradients": repeat(lambda: model.test_on_batch(masked, given["chosen"])),
        "matrix products alone": repeat(multiply),
    }


def products(case: dict[str, Any], chosen: int) -> list[tuple[int, int, int, int]]:
    """Give, for each product (m, k) @ (k, n) of the forward pass, how many there are of it, m, k and n."""
    batch, length, width, hidden = (case[name] for name in ("batch", "length", "width", "hidden"))
    head, found = width // case["heads"], []
    for layer in range(case["layers"]):
        asks = length if layer < case["layers"] - 1 else chosen  # the last block looks from chosen positions only
        found += [(1, batch * asks, width, width)] * 2 + [(1, batch * length, width, width)] * 2
        found += [(batch * case["heads"], asks, head, length), (batch * case["heads"], asks, length, head)]
        found += [(1, batch * asks, width, hidden), (1, batch * asks, hidden, width)]
    return [*found, (1, batch * chosen, width, width), (1, batch * chosen, width, case["vocabulary"])]


# --- The run ----------------------------------------------------------------------------------------------------------


def fastest(seconds: dict[str, list[float]], ways: tuple[str, ...]) -> str | None:
    """Name the fastest of some ways: the least median over rounds."""
    median = timing.medians(seconds)
    return min((name for name in median if name in ways), key=lambda name: median[name], default=None)


def ratio(theirs: list[float], ours: list[float]) -> float:
    """Say how many times as fast ours is, as the median over rounds."""
    return timing.statistics.median(a / b for a, b in zip(theirs, ours, strict=True))


def measure(task: str, case: dict[str, Any], names: list[str], rounds: int, threads: int) -> dict[str, Any]:
    """Time every way of running one task, in processes that take turns."""
    print(task, file=sys.stderr)
    if task == "train":
        names = names + timing.installed([*MASKED_TORCH] if "transformers eager" in names else [])
    workers = timing.Workers(__file__, names, threads)
    try:
        seconds = workers.measure({"task": task, **case}, rounds)
        used = {name: workers.ask(name, do="memory") for name in names}
    finally:
        workers.close()
    seconds = {name: seconds[f"{name} {task}"] for name in names}
    return {"seconds": seconds, "memory": used}


def show(task: str, found: dict[str, Any], case: dict[str, Any]) -> str:
    seconds, median = found["seconds"], timing.medians(found["seconds"])
    ours = fastest(seconds, OURS)
    tokens = case["length"] - PROMPT if task == "generate" else case["batch"] * case["length"]
    rows = []
    for name in seconds:
        used = found["memory"][name]
        cells = [name, f"{1e3 * median[name]:.1f}", f"{tokens / median[name]:.0f}"]
        cells.append(f"{ratio(seconds[name], seconds[ours]):.2f}" if ours else "")
        rows.append([*cells, f"{used['peak']:.0f}", f"{used['peak'] - used['imports']:.0f}"])
    header = [task, "ms", "tokens/s", "time / that of our fastest", "peak memory, MB", "above imports, MB"]
    return timing.table(header, rows)


def show_aims(results: dict[str, Any]) -> str:
    """Say what was asked for and what was found."""
    rows = []
    for name, task, peers, aim in AIMS:
        seconds = results.get(task, {"seconds": {}})["seconds"]
        ours, theirs = fastest(seconds, OURS), fastest(seconds, peers)
        if ours and theirs:
            found = ratio(seconds[theirs], seconds[ours])
            rows.append([name, ours, theirs, f"{aim:.2f}", f"{found:.2f}", "met" if found >= aim else "missed"])
    for task, found in results.items():
        ours, theirs = fastest(found["seconds"], OURS), fastest(found["seconds"], (*HUB, *TORCH, *MASKED_TORCH))
        if ours and theirs:
            share = found["memory"][theirs]["peak"] / found["memory"][ours]["peak"]
            answer = "met" if share > 1 else "missed"
            rows.append([f"less peak memory, {task}", ours, theirs, "above 1", f"{share:.2f}", answer])
    header = ["what", "our fastest", "their fastest", "asked: theirs / ours", "found", ""]
    return timing.table(header, rows)


def measure_curves(axes: list[str], case: dict[str, Any], names: list[str], options: Any) -> dict[str, Any]:
    """Time a training step at a few values of each size, the others fixed; processes live through all of it."""
    cases = {}
    for axis in axes:
        for value in CURVES[axis]:
            changed = case | {axis: value}
            if axis == "length":  # as many tokens a step: what is left is what attention costs
                changed["batch"] = max(1, case["batch"] * case["length"] // value)
            cases[axis, value] = changed
    workers, done = timing.Workers(__file__, names, options.threads), {}
    try:
        for (axis, value), changed in cases.items():
            key = str(changed)
            if key not in done:
                print(axis, value, file=sys.stderr)
                seconds = workers.measure({"task": "train", **changed}, min(3, options.rounds))
                done[key] = {name: seconds[f"{name} train"] for name in names}
    finally:
        workers.close()
    return {axis: {value: done[str(cases[axis, value])] for value in CURVES[axis]} for axis in axes}


def show_curve(axis: str, found: dict[Any, dict[str, list[float]]], case: dict[str, Any]) -> str:
    names, rows = list(next(iter(found.values()))), []
    for given, seconds in found.items():  # from a file the keys are texts
        value, median = int(given), timing.medians(seconds)
        batch = case["batch"] * case["length"] // value if axis == "length" else case["batch"]
        label = f"{value:,}" + (f" (batch {max(1, batch)})" if axis == "length" else "")
        cells = [label, *(f"{1e3 * median[name]:.0f}" for name in names)]
        if (ours := fastest(seconds, OURS)) and (theirs := fastest(seconds, (*HUB, *TORCH, *MASKED_TORCH))):
            cells.append(f"{ratio(seconds[theirs], seconds[ours]):.2f}")
        rows.append(cells)
    header = [axis, *(f"{name}, ms" for name in names)]
    return timing.table(header + ["fastest peer / ours"] * (len(rows[0]) > len(header)), rows)


def measure_profile(case: dict[str, Any], options: Any) -> dict[str, list[float]]:
    print("profile", file=sys.stderr)
    workers = timing.Workers(__file__, ["ours tensorflow"], options.threads)
    try:
        seconds = workers.measure({"task": "profile", **case}, options.rounds)
    finally:
        workers.close()
    return {name.removeprefix("ours tensorflow "): values for name, values in seconds.items()}


def show_profile(seconds: dict[str, list[float]]) -> str:
    whole = seconds["whole step"]
    rows = [
        [name, f"{1e3 * timing.statistics.median(values):.0f}", f"{100 / ratio(whole, values):.0f} %"]
        for name, values in seconds.items()
    ]
    return timing.table(["a training step of ours on TensorFlow", "ms", "of the whole step"], rows)


def measure_parts(options: Any, case: dict[str, Any]) -> dict[str, Any]:
    """Measure what was asked for: for each part the machine's record with its results."""
    parts, ways, tasks = options.parts.split(","), options.ways.split(","), options.tasks.split(",")
    found: dict[str, Any] = {"benchmark": "bert", "case": case, "rounds": options.rounds}

    def begin(part: str, threads: int) -> dict[str, Any]:
        found[part] = timing.machine(threads)
        return found[part]

    if "tasks" in parts:
        names = timing.installed(ways)
        begin("tasks", options.threads)["results"] = {
            task: measure(task, case, names, options.rounds, options.threads) for task in tasks
        }
    if "threads" in parts:
        names = timing.installed([name for name in TWO_THREADS if name in ways])
        begin("threads", 2)["results"] = {
            task: measure(task, case, names, min(3, options.rounds), 2) for task in tasks if task != "train all"
        }
    if "curves" in parts:
        names = timing.installed([name for name in IN_CURVES if name in ways or name in MASKED_TORCH])
        begin("curves", options.threads)["results"] = measure_curves(options.curves.split(","), case, names, options)
    if "profile" in parts:
        begin("profile", options.threads)["results"] = measure_profile(case, options)
    return found


def show_parts(found: dict[str, Any]) -> None:
    """Print what `measure_parts` gave as Markdown."""
    case = found["case"]
    sizes = f"{case['layers']} blocks of width {case['width']}, {case['length']} positions, batch {case['batch']}"
    sizes += f", vocabulary {case['vocabulary']}, float32"

    def head(part: str, title: str, *texts: str) -> dict[str, Any]:
        print(timing.heading(title, found[part]))
        for text in texts:
            print(text + "\n")
        return found[part]["results"]

    if "tasks" in found:
        results = head("tasks", f"BERT and GPT: {sizes}", ABOUT_TASKS)
        for table in (show_aims(results), *(show(task, part, case) for task, part in results.items())):
            print(table + "\n")
    if "threads" in found:
        for task, part in head("threads", "BERT and GPT with two threads").items():
            print(show(task, part, case) + "\n")
    if "curves" in found:
        about = f"One size changes, the others are {sizes}. Scores at the masked positions only, for all."
        for axis, points in head("curves", "A training step against its sizes", about).items():
            print(show_curve(axis, points, case) + "\n")
    if "profile" in found:
        seconds = head("profile", "What a training step is made of", ABOUT_PROFILE)
        print(show_profile(seconds) + "\n")
        limit = ratio(seconds["whole step"], seconds["matrix products alone"])
        print(f"Were all but the products free, a step would be {limit:.2f} times as fast as it is.", end=" ")
        train = found.get("tasks", {}).get("results", {}).get("train", {}).get("seconds", {})
        (_, _, peers, aim) = AIMS[0]
        theirs = fastest(train, peers)
        if theirs:
            asked, products = timing.medians(train)[theirs] / aim, timing.medians(seconds)["matrix products alone"]
            print(f"To be {aim} times as fast as {theirs} it would have to take {1e3 * asked:.0f} ms;", end=" ")
            print(f"the products leave {1e3 * (asked - products):.0f} ms of these for all else.", end="")
        print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = {
        "layers": 4, "width": 256, "heads": 4, "hidden": 1024, "length": 128, "batch": 16, "vocabulary": 8192,
    }  # fmt: skip
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--parts", default="tasks,threads,curves,profile")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--ways", default=",".join((*OURS, *HUB, *TORCH)))
    parser.add_argument("--curves", default=",".join(CURVES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, choices=(1, 2), default=1, help="of the parts other than threads")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--show", metavar="FILE", nargs="+", help="print what --json kept of earlier runs")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        timing.serve(options.worker, options.threads, prepare, memory)
        return
    found: dict[str, Any] = {}
    for path in options.show or []:
        found |= json.loads(Path(path).read_text(encoding="utf-8"))
    if not options.show:
        found = measure_parts(options, {name: getattr(options, name) for name in SIZES})
        timing.save(options.json, found)
    show_parts(found)


if __name__ == "__main__":
    main()
