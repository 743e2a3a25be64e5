# ruff: noqa: E501, because a mutant reads best on one line
"""Wrong updates, averages, logs, checkpoints that are not whole or not all, and wrong adapters."""

TRAINING = "course_lib/training"
LOOP, FILES = "tests/training/test_loop.py", "tests/training/test_checkpoint.py"
TESTS = {
    f"{TRAINING}/recipe.py": ["tests/training/test_recipe_and_history.py"],
    f"{TRAINING}/history.py": ["tests/training/test_recipe_and_history.py", LOOP],
    f"{TRAINING}/checkpoint.py": [FILES],
    f"{TRAINING}/loop.py": [LOOP],
    f"{TRAINING}/_optimizer.py": [LOOP],
    f"{TRAINING}/_backend.py": [LOOP],
    f"{TRAINING}/_logs.py": [LOOP],
    f"{TRAINING}/freezing.py": ["tests/training/test_freezing.py"],
    "course_lib/layers/lora.py": ["tests/layers/test_lora.py"],
}

MUTANTS = {
    f"{TRAINING}/recipe.py": [
        ("recipe: falls over the warm-up as well", "falling = self.steps - self.warmup", "falling = self.steps"),
        ("recipe: no warm-up", "return schedules.warmup(rate, self.warmup) if self.warmup else rate", "return rate"),
        (
            "recipe: cosine is linear",
            "rate = schedules.cosine(self.learning_rate, falling)",
            "rate = schedules.linear(self.learning_rate, 0.0, falling)",
        ),
        ("recipe: a warm-up that never ends", "if self.warmup >= self.steps:", "if self.warmup > self.steps:"),
        (
            "recipe: float16 accumulates",
            'if self.precision == "float16" and self.accumulate > 1:',
            'if self.precision == "float8" and self.accumulate > 1:',
        ),
    ],
    f"{TRAINING}/history.py": [
        ("history: evaluations at the next step", "rows[int(step) - 1] |=", "rows[int(step) % len(rows)] |="),
        ("history: the loss among the metrics", 'name not in ("step", "loss", "rate")', 'name not in ("step", "rate")'),
    ],
    f"{TRAINING}/checkpoint.py": [
        ("checkpoint: not forced to the disk", "    file.flush()\n    os.fsync(file.fileno())", "    file.flush()"),
        (
            "checkpoint: the rename not forced to the disk",
            "    work.rename(final)\n    _folder_to_disk(folder)",
            "    work.rename(final)",
        ),
        (
            "checkpoint: written in place",
            'final, work = folder / f"{PREFIX}{step:08d}", folder / f"{UNFINISHED}{step:08d}"',
            'final = work = folder / f"{PREFIX}{step:08d}"',
        ),
        ("checkpoint: hashes not compared", "if _sha256(path / name) != sums.get(name):", "if False:"),
        (
            "checkpoint: the state's hash alone",
            'f"{_sha256(work / name)}  {name}\\n" for name in (STATE, ABOUT)',
            'f"{_sha256(work / STATE)}  {name}\\n" for name in (STATE, ABOUT)',
        ),
        ("checkpoint: the first, not the last", "for path in reversed(found):", "for path in found:"),
        ("checkpoint: one too few kept", "paths(folder)[:-keep]", "paths(folder)[: 1 - keep or None]"),
        ("checkpoint: sorted as text", 'f"{PREFIX}{step:08d}", folder', 'f"{PREFIX}{step}", folder'),
        ("checkpoint: what was left stays", "        shutil.rmtree(left)", "        pass"),
        ("checkpoint: a damaged one is in the way", "    if final.exists():", "    if False:"),
        ("checkpoint: all damaged, so from the start", "    if found:\n        raise", "    if False:\n        raise"),
    ],
    f"{TRAINING}/loop.py": [
        (
            "train: batches of an update start one by one",
            "range(step * recipe.accumulate, (step + 1) * recipe.accumulate)",
            "range(step, step + recipe.accumulate)",
        ),
        (
            "train: a mean of means",
            "model.optimizer.share.assign(len(group) * share)",
            "model.optimizer.share.assign(1.0)",
        ),
        (
            "train: a sum of gradients",
            "model.optimizer.share.assign(len(group) * share)",
            "model.optimizer.share.assign(len(group) ** 2 * share)",
        ),
        (
            "train: the rate of the next step",
            "optimizer.learning_rate = float(rates[step])",
            "optimizer.learning_rate = float(rates[min(step + 1, recipe.steps - 1)])",
        ),
        ("train: random generators not from the seed", "        _backend.seed(model, recipe.seed)\n", ""),
        (
            "train: the model without its generators",
            "enumerate(model.variables)}\n        state |=",
            "enumerate(model.weights)}\n        state |=",
        ),
        (
            "train: the optimizer starts anew",
            '        state |= {f"optimizer/{i:05d}": v for i, v in enumerate(optimizer.variables)}\n',
            "",
        ),
        ("train: the history starts anew", 'rows = json.loads(found.arrays["history"].tobytes())', "rows = []"),
        (
            "train: the last updates have no checkpoint",
            "return step == last or (every",
            "return step == last + 1 or (every",
        ),
        (
            "train: anything is taken up",
            '            _compare(found, what | {"data": _fingerprint(batches, start, recipe)})\n',
            "",
        ),
        ("train: only the first batch is compared", '"last batch": step * recipe.accumulate - 1}', '"last batch": 0}'),
        ("train: fixed and free weights look alike", 'kind = "" if variable.trainable else ", fixed"', 'kind = ""'),
        ("train: dropout's rate is no part of a model", "settings = json.loads(model.to_json())", "settings = {}"),
        ("train: versions do not matter", "    if written != versions:", "    if False:"),
        ("train: not a number, and on it goes", 'if not math.isfinite(logs["loss"]):', "if False:"),
        (
            "train: validation by equal pieces",
            "    for batch, share in zip(group, _shares(group, weigh), strict=True):",
            "    for batch, share in ((batch, 1 / len(group)) for batch in group):",
        ),
        (
            "train: validation without the last piece",
            "for start in range(0, _rows_of(data), size):",
            "for start in range(0, _rows_of(data) - size + 1, size):",
        ),
        (
            "train: sample weights forgotten",
            'return inputs, batch.get("labels"), batch.get("weights")',
            'return inputs, batch.get("labels"), None',
        ),
    ],
    f"{TRAINING}/_optimizer.py": [
        ("optimizer: biases decay", "if len(v.shape) < 2]", "if len(v.shape) < 1]"),
        ("optimizer: nothing decays", "if len(v.shape) < 2]", "if len(v.shape) < 3]"),
        ("optimizer: clips each gradient alone", '"global_clipnorm": recipe.clip_norm', '"clipnorm": recipe.clip_norm'),
        ("optimizer: betas of Keras", '        "beta_2": recipe.beta_2,\n', ""),
        ("optimizer: float16 without a factor", '    if recipe.precision == "float16":', "    if False:"),
        ("optimizer: the share divides", "* ops.cast(self.share, loss.dtype)", "/ ops.cast(self.share, loss.dtype)"),
    ],
    f"{TRAINING}/_backend.py": [
        ("backend: half precision stays", '            layer.dtype_policy = "float32"\n', "            pass\n"),
        (
            "backend: what was compiled stays",
            "        model.train_function = model.test_function = model.predict_function = None\n",
            "        pass\n",
        ),
        ("backend: all precision is full", "        layer.dtype_policy = POLICIES[precision]\n", "        pass\n"),
        (
            "backend: one seed for all",
            "SeedSequence(number, spawn_key=(place,))",
            "SeedSequence(0, spawn_key=(place,))",
        ),
    ],
    f"{TRAINING}/_logs.py": [
        (
            "log: rows of before are lost",
            "        for row in rows:\n            self.write(row)\n\n    def write(self, row: Row) -> None:\n        if self.writer",
            "\n    def write(self, row: Row) -> None:\n        if self.writer",
        ),
        ("log file: what a killed run wrote stays", 'open("w", newline=""', 'open("a", newline=""'),
        ("log file: events of a killed run stay", "            old.unlink()", "            pass"),
    ],
    f"{TRAINING}/freezing.py": [
        (
            "freeze: only one of the names",
            "chosen = [layer for layer in layers if layer.name in names]",
            "chosen = [layer for layer in layers if layer.name == names[0]]",
        ),
        ("freeze: nothing", "        layer.trainable = False", "        pass"),
    ],
    "course_lib/layers/lora.py": [
        (
            "lora: alpha times the rank",
            "rank if alpha is None else alpha) / rank",
            "rank if alpha is None else alpha) * rank",
        ),
        (
            "lora: the factor forgotten in the product",
            "y = y + self.scale * ops.matmul(ops.matmul(",
            "y = y + ops.matmul(ops.matmul(",
        ),
        ("lora: the factor forgotten in the sum", "super().kernel + self.scale * ops", "super().kernel + ops"),
        ("lora: starts elsewhere", 'initializer="zeros", name="lora_b"', 'initializer="ones", name="lora_b"'),
        ("lora: all A alike", "seed=_seeds.derive(seed, number))", "seed=seed)"),
        ("lora: A with variance 1", "stddev=1 / math.sqrt(inputs)", "stddev=1.0"),
        ("lora: everything learns", "        variable.trainable = False\n", "        pass\n"),
        ("lora: heads stay", "                variable.trainable = True\n", "                pass\n"),
        (
            "lora: merged twice",
            "        dense.kernel.assign(merged)\n",
            "        dense.kernel.assign(2 * merged - dense.kernel)\n",
        ),
        ("lora: merged, but fixed", "            variable.trainable = layer.trainable\n", "            pass\n"),
        (
            "lora: merged, and what was frozen learns",
            "variable.trainable = layer.trainable",
            "variable.trainable = True",
        ),
        (
            "lora: saved without the change",
            'store["0"] = ops.convert_to_numpy(self.kernel)',
            'store["0"] = ops.convert_to_numpy(super().kernel)',
        ),
        ("lora: loaded, and the change on top", "        self.lora_b.assign(ops.zeros_like(self.lora_b))\n", ""),
        ("lora: the factor stays at home", '        dense.scale = float(arrays[f"{key}/scale"])\n', ""),
        (
            "lora: what was compiled is used",
            "    model.train_function = model.test_function = model.predict_function = None\n",
            "    pass\n",
        ),
    ],
}
