# ruff: noqa: E501, because a mutant reads best on one line
"""Wrong choices of codes, transformers that look at the picture that they write, checkers that let wrong pictures pass."""

MODELS = "course_lib/models"
TESTS = {
    "course_lib/data/shapes.py": ["tests/data/test_shapes.py"],
    f"{MODELS}/dvae.py": ["tests/models/test_dvae.py"],
    f"{MODELS}/dalle.py": ["tests/models/test_dalle.py"],
}

MUTANTS = {
    "course_lib/data/shapes.py": [
        ("shapes: a plural for one", 'plural = "s" if self.number > 1 else ""', 'plural = "s"'),
        ("shapes: two captions for one request", 'if found.caption == " ".join(words):', "if True:"),
        ("shapes: nothing is held out", "% HELD_OUT == 0", "% HELD_OUT == 99"),
        (
            "shapes: whole colours are held out",
            "return sum(names.index(name) for name, names in parts) % HELD_OUT == 0",
            'return self.colour == "red"',
        ),
        (
            "shapes: one shape too few",
            "rng.permutation(CELLS)[: request.number]",
            "rng.permutation(CELLS)[: max(request.number - 1, 1)]",
        ),
        (
            "shapes: cells in order",
            "for free in rng.permutation(CELLS)[: request.number]",
            "for free in np.arange(CELLS)[: request.number]",
        ),
        (
            "shapes: right is left",
            'if request.place in ("right", "bottom") else 0',
            'if request.place in ("left", "bottom") else 0',
        ),
        ("shapes: a wide circle", "x**2 + y**2 <= 1", "x**2 + y**2 <= 1.5"),
        ("shapes: brightness up to twice", "rng.uniform(0.8, 1.0)", "rng.uniform(0.8, 2.0)"),
        (
            "checker: the number may be larger",
            '"number": len(found) == request.number',
            '"number": len(found) >= request.number',
        ),
        (
            "checker: one of the colour is enough",
            "bool(found) and all(one.colour == request.colour for one in found)",
            "any(one.colour == request.colour for one in found)",
        ),
        (
            "checker: one at the place is enough",
            "bool(found) and all(inside(one) for one in found)",
            "any(inside(one) for one in found)",
        ),
        (
            "checker: nothing is good",
            "bool(found) and all(one.shape == request.shape for one in found)",
            "all(one.shape == request.shape for one in found)",
        ),
        ("checker: specks count", "if len(rows) < masks", "if False and len(rows) < masks"),
        ("checker: the dark counts", "(brightness > 0.4)", "(brightness > 0.2)"),
        ("checker: shapes laid one pixel off", "round(m - (len(mask) - 1) / 2)", "round(m - (len(mask) - 1) / 2) + 2"),
        ("checker: the largest shape wins", "np.sum(laid & piece) / np.sum(laid | piece)", "np.sum(laid & piece)"),
    ],
    f"{MODELS}/dvae.py": [
        (
            "gumbel: noise of one sign",
            "gumbel = -ops.log(-ops.log(uniform + SMALLEST) + SMALLEST)",
            "gumbel = -ops.log(uniform + SMALLEST)",
        ),
        ("gumbel: no noise", "ops.softmax((logits + gumbel) /", "ops.softmax((logits + 0 * gumbel) /"),
        (
            "gumbel: the temperature only on the noise",
            "ops.softmax((logits + gumbel) / ops.cast(temperature, logits.dtype), axis=-1)",
            "ops.softmax(logits + gumbel / ops.cast(temperature, logits.dtype), axis=-1)",
        ),
        (
            "gumbel: hot is cold",
            "(logits + gumbel) / ops.cast(temperature, logits.dtype)",
            "(logits + gumbel) * ops.cast(temperature, logits.dtype)",
        ),
        (
            "gumbel: a hard choice has no gradient",
            "return ops.stop_gradient(hard - soft) + soft",
            "return ops.stop_gradient(hard)",
        ),
        ("gumbel: never hard", "return ops.stop_gradient(hard - soft) + soft", "return soft"),
        (
            "dvae: divergence without the logarithm of the book's size",
            "divergence = divergence + math.prod(self.config.grid) * math.log(self.config.codes)",
            "pass",
        ),
        ("dvae: divergence of one place", "math.prod(self.config.grid) * math.log", "1 * math.log"),
        ("dvae: no beta", "self.config.beta * divergence", "divergence"),
        ("dvae: sigma not squared", "(2 * self.config.sigma**2)", "(2 * self.config.sigma)"),
        ("dvae: soft choices without training", "if training:", "if True:"),
        ("dvae: hard choices in training", "if training:", "if False:"),
        (
            "dvae: the least probable code",
            "ops.argmax(self.logits(self._checked(part)), axis=-1)",
            "ops.argmin(self.logits(self._checked(part)), axis=-1)",
        ),
        ("use: logarithm to base 2", "np.sum(shares * np.log(shares))", "np.sum(shares * np.log2(shares))"),
        ("use: counts of one", "int((counts > 0).sum())", "int((counts > 1).sum())"),
        ("annealing: a straight line", "0.5 * (1 + math.cos(math.pi * share))", "(1 - share)"),
        ("annealing: goes on after the end", "min(self.done / self.steps, 1)", "self.done / self.steps"),
        ("dvae: formula without the inner halvings", "inner = (self.halvings - 1)", "inner = 0 * (self.halvings - 1)"),
        ("dvae: up and down from one seed", 'options(40 + n, f"up_{n}")', 'options(n, f"up_{n}")'),
    ],
    f"{MODELS}/dalle.py": [
        (
            "dalle: sees the code that it guesses",
            "[start, caption, codes[:, :-1] + c.words]",
            "[caption, codes + c.words]",
        ),
        ("dalle: codes are read as words", "codes[:, :-1] + c.words], axis=1)", "codes[:, :-1]], axis=1)"),
        (
            "dalle: scores of codes begin with the words",
            "scores[:, c.caption_length :, c.words : c.words + c.codes]",
            "scores[:, c.caption_length :, : c.codes]",
        ),
        (
            "dalle: scores one place early",
            "scores[:, c.caption_length :, c.words : c.words + c.codes]",
            "scores[:, c.caption_length - 1 : -1, c.words : c.words + c.codes]",
        ),
        ("dalle: the caption weighs all", "weight * costs[0] + (1 - weight) * costs[1]", "costs[0]"),
        (
            "dalle: weights change places",
            "weight * costs[0] + (1 - weight) * costs[1]",
            "weight * costs[1] + (1 - weight) * costs[0]",
        ),
        ("dalle: weighs as much for words", "text_weight: float = 1 / 8", "text_weight: float = 1 / 2"),
        ("dalle: the cache stands still", "read += tokens.shape[1]", "read += 0"),
        (
            "dalle: writes codes as words",
            "tokens = codes[:, place : place + 1] + c.words",
            "tokens = codes[:, place : place + 1]",
        ),
        ("dalle: scores of the first place", "model.gpt.logits(states[:, -1:])", "model.gpt.logits(states[:, :1])"),
        ("dalle: filters forgotten", "if temperature and (top_k is not None or top_p is not None):", "if False:"),
        ("dalle: the mean, not the sum", "ops.sum(costs, axis=-1)", "ops.mean(costs, axis=-1)"),
        ("dalle: starts with a word", "start = 0 * caption[:, :1] + c.words + c.codes", "start = 0 * caption[:, :1]"),
    ],
}
