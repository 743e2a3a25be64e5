# ruff: noqa: E501, because a mutant reads best on one line
"""Break the package on purpose, one small change at a time, and see the tests notice each.

``python tests/mutants.py`` runs them all, and ``python tests/mutants.py adam clip`` those with one of these words in
their name or file. Every mutant is a copy of the package and of the tests in a folder of its own; the working tree is
read only. The run fails if a mutant survives, or if the text that it replaces is not there exactly once.

To add some, put (name, old text, new text) into the list of their file in MUTANTS, and a new file into TESTS as well.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROCESSES = 2

# The tests that must notice a change of a file: fast ones, on NumPy alone.
TESTS = {
    "course_lib/optimization/optimizers.py": ["tests/optimization/test_optimizers.py"],
    "course_lib/optimization/clipping.py": ["tests/optimization/test_clipping.py"],
    "course_lib/optimization/_tree.py": ["tests/optimization/test_tree.py"],
    "course_lib/optimization/_check.py": ["tests/optimization/test_check.py"],
    "course_lib/optimization/schedules.py": ["tests/optimization/test_schedules.py"],
    "course_lib/optimization/learning_rate_range.py": ["tests/optimization/test_schedules.py"],
    "course_lib/optimization/objectives.py": ["tests/optimization/test_objectives.py"],
    "course_lib/optimization/descent.py": ["tests/optimization/test_descent.py"],
}

MUTANTS = {
    "course_lib/optimization/optimizers.py": [
        # Sign, rate and momentum of plain descent
        ("sgd: uphill", "                return -lr * g\n", "                return lr * g\n"),
        ("sgd: penalty subtracted", "g = g + weight_decay * w\n            if not slots", "g = g - weight_decay * w\n            if not slots"),
        ("sgd: penalty forgotten", "            if weight_decay:\n                g = g", "            if False:\n                g = g"),
        ("sgd: momentum not decayed", "            v *= momentum\n", "            v *= 1.0\n"),
        ("sgd: velocity with the wrong sign", "                v -= step\n", "                v += step\n"),
        ("sgd: nesterov without look-ahead", "return momentum * v - step if nesterov else v", "return v"),
        ("sgd: nesterov looks ahead twice", "return momentum * v - step if", "return momentum * v - 2 * step if"),
        ("sgd: nesterov of torch without look-ahead", "return -lr * (g + momentum * v) if nesterov else -lr * v", "return -lr * v"),
        ("sgd: dampened as a mean", "            v += g\n", "            v += (1 - momentum) * g\n"),
        ("sgd: torch's form as paper's", 'rate_in_velocity = convention in ("paper", "keras")', 'rate_in_velocity = convention == "keras"'),
        ("sgd: keras with torch's form", 'rate_in_velocity = convention in ("paper", "keras")', 'rate_in_velocity = convention == "paper"'),
        # Adagrad
        ("adagrad: sum of g, not of squares", "            s += np.square(g)\n", "            s += abs(g)\n"),
        ("adagrad: forgets", "            s += np.square(g)\n", "            s *= 0.9\n            s += np.square(g)\n"),
        ("adagrad: epsilon at the other place", "np.sqrt(s + eps) if inside else np.sqrt(s) + eps", "np.sqrt(s) + eps if inside else np.sqrt(s + eps)"),
        ("adagrad: starts at 0 everywhere", "(0.1 if inside else 0.0)", "0.0"),
        ("adagrad: start ignored", '{"s": start}', '{"s": 0.1 if inside else 0.0}'),
        # RMSprop
        ("rmsprop: sum in place of a mean", "s += (1 - rho) * np.square(g)\n            spread", "s += np.square(g)\n            spread"),
        ("rmsprop: old mean kept whole", "s *= rho\n            s += (1 - rho) * np.square(g)\n            spread", "s += (1 - rho) * np.square(g)\n            spread"),
        ("rmsprop: epsilon at the other place", "np.sqrt(spread + eps) if inside else np.sqrt(spread) + eps", "np.sqrt(spread) + eps if inside else np.sqrt(spread + eps)"),
        ("rmsprop: mean not squared", "np.maximum(s - mean * mean, 0)", "np.maximum(s - mean, 0)"),
        ("rmsprop: variance below 0", "np.maximum(s - mean * mean, 0)", "s - mean * mean"),
        ("rmsprop: centred before the mean is new", "mean += (1 - rho) * (g - mean)", "mean += rho * (g - mean)"),
        ("rmsprop: torch's momentum everywhere", 'convention in ("keras", "optax"), convention != "torch"', 'convention in ("keras", "optax"), False'),
        ("rmsprop: optax keeps the rate out", 'convention in ("keras", "optax"), convention != "torch"', 'convention in ("keras", "optax"), convention in ("paper", "keras")'),
        ("rmsprop: uphill with momentum", "return -velocity if rate_in_velocity", "return velocity if rate_in_velocity"),
        # Adadelta
        ("adadelta: past steps updated first", "            step = np.sqrt((d + eps) / (s + eps)) * g\n            d *= rho\n", "            d *= rho\n            step = np.sqrt((d + eps) / (s + eps)) * g\n"),
        ("adadelta: no past steps", "np.sqrt((d + eps) / (s + eps))", "np.sqrt(eps / (s + eps))"),
        ("adadelta: epsilon outside", "np.sqrt((d + eps) / (s + eps))", "(np.sqrt(d) + eps) / (np.sqrt(s) + eps)"),
        ("adadelta: remembers the gradient", "d += (1 - rho) * np.square(step)", "d += (1 - rho) * np.square(g)"),
        # Adam and AdamW
        ("adam: first mean not corrected", "c1, c2 = (1 - beta1**t, 1 - beta2**t) if bias_correction", "c1, c2 = (1.0, 1 - beta2**t) if bias_correction"),
        ("adam: second mean not corrected", "c1, c2 = (1 - beta1**t, 1 - beta2**t) if bias_correction", "c1, c2 = (1 - beta1**t, 1.0) if bias_correction"),
        ("adam: steps counted from 0", "c1, c2 = (1 - beta1**t, 1 - beta2**t) if bias_correction", "c1, c2 = (1 - beta1 ** (t + 1), 1 - beta2 ** (t + 1)) if bias_correction"),
        ("adam: always corrected", " if bias_correction else (1.0, 1.0)", ""),
        ("adam: epsilon under the root", "(np.sqrt(v) + outside))\n            return update - (lr", "np.sqrt(v + outside))\n            return update - (lr"),
        ("adam: epsilon hat everywhere", "eps if eps_hat else eps * math.sqrt(c2)", "eps"),
        ("adam: epsilon hat nowhere", "eps if eps_hat else eps * math.sqrt(c2)", "eps * math.sqrt(c2)"),
        ("adam: betas exchanged", "c1, c2 = (1 - beta1**t, 1 - beta2**t) if bias_correction", "c1, c2 = (1 - beta2**t, 1 - beta1**t) if bias_correction"),
        ("adam: uphill", "update = -scale * (m /", "update = scale * (m /"),
        ("adam: gradient in place of its mean", "update = -scale * (m /", "update = -scale * (g /"),
        ("adamw: decay through the step", "            if weight_decay and not decoupled:\n", "            if weight_decay:\n"),
        ("adam: penalty forgotten", "            if weight_decay and not decoupled:\n", "            if False:\n"),
        ("adamw: decay with the wrong sign", "return update - (lr * weight_decay) * w if weight_decay and decoupled else update", "return update + (lr * weight_decay) * w if weight_decay and decoupled else update"),
        ("adamw: decay without the rate", "return update - (lr * weight_decay) * w if weight_decay and decoupled else update", "return update - weight_decay * w if weight_decay and decoupled else update"),
        ("adam: penalty beside the step", "bias_correction, weight_decay, False, convention)", "bias_correction, weight_decay, True, convention)"),
        ("adam: scale corrected twice", "lr * math.sqrt(c2) / c1, eps if eps_hat", "lr * c2 / c1, eps if eps_hat"),
        # Nadam
        ("nadam: today's momentum in place of tomorrow's", "from_m = mu(t + 1) / (1 - product * mu(t + 1))", "from_m = mu(t) / (1 - product * mu(t))"),
        ("nadam: product one step late", "from_m = mu(t + 1) / (1 - product * mu(t + 1))", "from_m = mu(t + 1) / (1 - product)"),
        ("nadam: gradient not corrected", "from_g = (1 - mu(t)) / (1 - product)", "from_g = 1 - mu(t)"),
        ("nadam: product not kept", 'scalars["mu_product"] *= mu(t)', 'scalars["mu_product"] = mu(t)'),
        ("nadam: paper averages as the libraries", 'kept = mu(t) if convention == "paper" else beta1', "kept = beta1"),
        ("nadam: no beta2 in the paper's root", '(beta2 if convention == "paper" else 1.0) / c2', "1.0 / c2"),
        ("nadam: second mean not corrected", '(beta2 if convention == "paper" else 1.0) / c2', 'beta2 if convention == "paper" else 1.0'),
        ("nadam: schedule of the other library", '(1.0 if convention == "keras" else 0.004)', "0.004"),
        ("nadam: other base", "0.5 * 0.96 ** (t * decay)", "0.5 * 0.9 ** (t * decay)"),
        ("nadam: optax with a schedule", 'return beta1 if convention == "optax" else', "return"),
        ("nadam: rate left out of the gradient's part", "-lr * from_m, -lr * from_g", "-lr * from_m, -from_g"),
        # AMSGrad
        ("amsgrad: forgets the maximum", "np.maximum(top, v if before_maximum == 1 else v / before_maximum, out=top)", "np.copyto(top, v / before_maximum)"),
        ("amsgrad: minimum", "np.maximum(top, v if", "np.minimum(top, v if"),
        ("amsgrad: paper corrected", 'c1, c2 = (1.0, 1.0) if convention == "paper" else', "c1, c2 ="),
        ("amsgrad: torch corrects before the maximum", 'before_maximum = c2 if convention == "optax" else 1.0\n        after_maximum = 1.0 if convention == "optax" else c2', "before_maximum = c2\n        after_maximum = 1.0"),
        ("amsgrad: optax corrects after the maximum", 'before_maximum = c2 if convention == "optax" else 1.0\n        after_maximum = 1.0 if convention == "optax" else c2', "before_maximum = 1.0\n        after_maximum = c2"),
        ("amsgrad: keras with torch's epsilon", 'eps if convention == "keras" else eps * math.sqrt(after_maximum)', "eps * math.sqrt(after_maximum)"),
        # Lion
        ("lion: no sign", "np.sign(beta1 * m + (1 - beta1) * g)", "(beta1 * m + (1 - beta1) * g)"),
        ("lion: sign of the gradient", "np.sign(beta1 * m + (1 - beta1) * g)", "np.sign(g)"),
        ("lion: memory updated first", "            update = -lr * np.sign(beta1 * m + (1 - beta1) * g)\n            m *= beta2\n            m += (1 - beta2) * g\n", "            m *= beta2\n            m += (1 - beta2) * g\n            update = -lr * np.sign(beta1 * m + (1 - beta1) * g)\n"),
        ("lion: one beta for both", "            m *= beta2\n            m += (1 - beta2) * g\n            return update", "            m *= beta1\n            m += (1 - beta1) * g\n            return update"),
        ("lion: decay with the wrong sign", "            return update - (lr * weight_decay) * w if weight_decay else update\n\n        return rule\n\n    return Optimizer(\"lion\"", "            return update + (lr * weight_decay) * w if weight_decay else update\n\n        return rule\n\n    return Optimizer(\"lion\""),
        # Muon
        ("orthogonalize: wrong sign of b", "(b * gram + c * gram @ gram)", "(-b * gram + c * gram @ gram)"),
        ("orthogonalize: cubic", "(b * gram + c * gram @ gram)", "(b * gram)"),
        ("orthogonalize: not transposed back", "return x.T if tall else x", "return x"),
        ("orthogonalize: not scaled", "matrix / (float(np.linalg.norm(matrix)) + _check.positive(\"eps\", eps))", "matrix / (1.0 + _check.positive(\"eps\", eps))"),
        ("muon: no nesterov", "direction = from_m * m + from_g * g if nesterov else from_m * m", "direction = m"),
        ("muon: sum where torch averages", 'averages = convention in ("torch", "optax")', 'averages = convention == "torch"'),
        ("muon: optax not corrected", '        if convention == "optax":\n            from_m /=', '        if False:\n            from_m /='),
        ("muon: optax correction one step early", "from_m /= 1 - momentum ** (t + 1 if nesterov else t)", "from_m /= 1 - momentum**t"),
        ("muon: shape factor turned round", "math.sqrt(max(1, rows / columns)))", "math.sqrt(max(1, columns / rows)))"),
        ("muon: optax's shape factor turned round", '"optax": math.sqrt(max(1, columns / rows)),', '"optax": math.sqrt(max(1, rows / columns)),'),
        ("muon: keras without its factor", '"keras": 0.2 * math.sqrt(max(rows, columns)),', '"keras": math.sqrt(max(rows, columns)),'),
        ("muon: epsilon of optax's norm", '"optax": norm + eps}', '"optax": norm + 1e-7}'),
        ("muon: vectors at the matrices' rate", "rest_rule = rest.rule_at(t, lr * ratio, scalars)", "rest_rule = rest.rule_at(t, lr, scalars)"),
        ("muon: keras decays at adam's rate", 'decay_rate = lr if convention == "keras" else lr * ratio', "decay_rate = lr * ratio"),
        ("muon: uphill", "update = -(lr * scale) * _newton_schulz", "update = (lr * scale) * _newton_schulz"),
        ("muon: other coefficients", "ns_steps, (3.4445, -4.7750, 2.0315))", "ns_steps, (3.4445, -4.7750, 2.0))"),
        ("muon: fixed steps", "_newton_schulz(direction / divisor, ns_steps,", "_newton_schulz(direction / divisor, 5,"),
        ("muon: runs by blocks", "        elementwise=False,\n", ""),
        # What all share
        ("state: start at 0 everywhere", "np.full_like(leaf, start)", "np.zeros_like(leaf)"),
        ("state: update works on the old state", "tree_map(np.copy, tree) if copy else tree", "tree"),
        ("state: step not counted", "new = OptimizerState(state.step + 1, slots", "new = OptimizerState(state.step, slots"),
        ("state: scalars shared", "slots, dict(state.scalars))", "slots, state.scalars)"),
        ("rate: schedule one step late", "lr = self.rate(state.step)", "lr = self.rate(state.step + 1)"),
        ("rate: float64 of a schedule not narrowed", 'return _check.non_negative("learning_rate", rate)', "return rate"),
        ("prepare: not called", "grads = self.prepare(grads)", "pass"),
        ("blocks: last one lost", "for i in range(0, row[0].size, BLOCK)", "for i in range(0, row[0].size - BLOCK, BLOCK)"),
        ("blocks: without regard to gaps", " and all(leaf.flags.c_contiguous for leaf in row)", ""),
        ("in place: replaces", "            parameter += rule(*arguments)", "            parameter[...] = rule(*arguments)"),
        ("keys: rows by order", "        tree_map(lambda *row: rows.append(row), out, grads, out if params is None else params, *named)", "        trees = (out, grads, out if params is None else params, *named)\n        rows = list(zip(*([leaf for _, leaf in leaves(tree)] for tree in trees), strict=True))"),
        ("keys: gradients in their own order", "            grads = tree_map(lambda p, g: _as_gradient(g, p, next(paths)), like, grads)", "            grads = tree_map(lambda g, p: _as_gradient(g, p, next(paths)), grads, like)"),
        ("apply_updates: subtracts", "np.asarray(parameter + update)", "np.asarray(parameter - update)"),
    ],
    "course_lib/optimization/clipping.py": [
        ("clip: only from above", "np.clip(g, low, high)", "np.minimum(g, high)"),
        ("clip: lower bound without its sign", "return -high, high", "return 0.0, high"),
        ("clip: sum of magnitudes", "return largest, math.sqrt(sum(squares))", "return largest, sum(squares)"),
        ("clip: squares overflow", "    return largest, math.sqrt(sum(squares))", "    return 1.0, math.sqrt(sum(float(np.square(a).sum()) for a in arrays))"),
        ("clip: largest of the first array", "for array in arrays], initial", "for array in arrays[:1]], initial"),
        ("clip: Python's max hides NaN", "float(np.max([np.max(np.abs(array)) for array in arrays], initial=0.0))", "max([0.0, *(float(np.max(np.abs(array))) for array in arrays)])"),
        ("clip: short gradients lengthened", "    if largest * share <= limit:\n        return gradient.copy()\n", "    if largest * share == 0:\n        return gradient.copy()\n"),
        ("clip: shares memory", "        return gradient.copy()", "        return gradient"),
        ("clip: dtype widened", "np.asarray(unit * (limit / share)).astype(gradient.dtype)", "np.asarray(unit * (limit / share))"),
        ("clip: to the square of the limit", "unit * (limit / share)", "unit * (limit * limit / share)"),
        ("clip: each array where all are meant", "tree_map(lambda g: _shorten(g, largest, share, limit), grads)", "tree_map(lambda g: _shorten(g, *_scaled_norm(g), limit), grads)"),
        ("clip: all arrays where each is meant", 'tree_map(lambda g: _shorten(g, *_scaled_norm(g), limit), as_parameters(grads, "grads"))', 'tree_map(lambda g: _shorten(g, *_scaled_norm(grads), limit), as_parameters(grads, "grads"))'),
        ("clipped: does not clip", "        grads = clip(grads, limit)\n", ""),
        ("clipped: forgets the inner clipping", "return grads if inner is None else inner(grads)", "return grads"),
        ("clipped: inner clipping first", "        grads = clip(grads, limit)\n        return grads if inner is None else inner(grads)", "        return clip(grads if inner is None else inner(grads), limit)"),
    ],
    "course_lib/optimization/_tree.py": [
        ("tree: dicts by order", "tuple(tree[key] for tree in trees)", "tuple(list(tree.values())[list(first).index(key)] for tree in trees)"),
        ("tree: tuples become lists", "else type(first)(branches)", "else branches"),
        ("tree: named tuples lose their names", 'type(first)(*branches) if hasattr(first, "_fields") else type(first)(branches)', "tuple(branches) if isinstance(first, tuple) else branches"),
        ("tree: keys not compared", "if not isinstance(other, dict) or other.keys() != first.keys():", "if not isinstance(other, dict):"),
        ("tree: whole numbers as parameters", "if not np.issubdtype(dtype, np.floating):", "if not np.issubdtype(dtype, np.number):"),
        ("tree: path without its index", 'f"{path}[{i}]"', "path"),
    ],
    "course_lib/optimization/_check.py": [
        ("check: 0 is positive", "math.isfinite(number) and number > 0", "math.isfinite(number) and number >= 0"),
        ("check: infinity is finite", "math.isfinite(number) and number >= 0", "number >= 0"),
        ("check: 1 is a fraction", "if not 0 <= number < 1:", "if not 0 <= number <= 1:"),
        ("check: NaN is a fraction", "if not 0 <= number < 1:", "if number < 0 or number >= 1:"),
        ("check: True is a number", "isinstance(value, (bool, str)) or value is None", "isinstance(value, str) or value is None"),
        ("check: True is a count", "if isinstance(value, bool) or number < least:", "if number < least:"),
        ("check: 1 is a flag", "if not isinstance(value, (bool, np.bool_)):", "if value not in (True, False):"),
        ("check: infinity is data", "bad = ~np.isfinite(result)", "bad = np.isnan(result)"),
        ("check: any number of dimensions", "if ndim is not None and result.ndim != ndim:", "if ndim is not None and result.ndim < ndim:"),
    ],
    "course_lib/optimization/schedules.py": [
        ("between: the wrong way", "start * (1 - share) + end * share", "start + (start - end) * share"),
        ("between: not exact at its end", "start * (1 - share) + end * share", "start + (end - start) * share"),
        ("ramp: goes on past its end", "np.minimum(t / end, 1)", "t / end"),
        ("half wave: a quarter wave", "(1 - np.cos(math.pi * share)) / 2", "np.sin(math.pi * share / 2)"),
        ("stretches: never in stairs", "return t // length if staircase else t / length", "return t / length"),
        ("exponential: base e", "initial * decay_rate ** _stretches", "initial * math.e ** -_stretches"),
        ("inverse time: a line in its place", "initial / (1 + decay_rate * _stretches(t, decay_steps, staircase))", "np.maximum(initial * (1 - decay_rate * _stretches(t, decay_steps, staircase)), 0)"),
        ("polynomial: power off by one", "** power)", "** (power + 1))"),
        ("polynomial: cycle too early", "np.maximum(np.ceil(t / steps), 1)", "(np.floor(t / steps) + 1)"),
        ("polynomial: no first cycle", "np.maximum(np.ceil(t / steps), 1)", "np.ceil(t / steps)"),
        ("piecewise: one step late", 'table[np.searchsorted(bounds, t, side="right")]', 'table[np.searchsorted(bounds, t, side="left")]'),
        ("restarts: rounding upwards not mended", "        period = period + (start_of(period + 1) <= t)\n", ""),
        ("restarts: rounding downwards not mended", "        period = period - (start_of(period) > t)\n", ""),
        ("restarts: periods all alike", "(first_period * growth**period)", "first_period"),
        ("restarts: peaks all alike", "peak_factor**period)", "peak_factor)"),
        ("restarts: peak ignores final", "_between(final, initial, peak_factor**period)", "initial * peak_factor**period"),
        ("restarts: sum of periods wrong", "(growth**period - 1) / (growth - 1)", "growth**period - 1"),
        ("inverse root: starts at 0", "(t + 1) / warmup_steps", "t / warmup_steps"),
        ("inverse root: without the root", "np.sqrt(warmup_steps / (t + 1))", "warmup_steps / (t + 1)"),
        ("one cycle: start of the end", "initial = peak / initial_divisor", "initial = peak / final_divisor"),
        ("one cycle: end from the peak", "_between(peak, initial / final_divisor,", "_between(peak, peak / final_divisor,"),
        ("one cycle: falls from the start", "np.clip((t - top) / (steps - top), 0, 1)", "np.clip(t / steps, 0, 1)"),
        ("join: parts do not start at 0", "t[here] - starts[index]", "t[here]"),
        ("join: one step late", 'turn = np.searchsorted(bounds, t, side="right")', 'turn = np.searchsorted(bounds, t, side="left")'),
        ("warm-up: arrives late", "linear(start, peak, steps), schedule]", "linear(start, peak, steps + 1), schedule]"),
        ("warm-up: start ignored", "linear(start, peak, steps), schedule]", "linear(0.0, peak, steps), schedule]"),
        ("plateau: relative threshold upwards", "state.best * (1 - self.threshold) if", "state.best * (1 + self.threshold) if"),
        ("plateau: no absolute threshold", "else state.best - self.threshold", "else state.best"),
        ("plateau: patience one short", "if waited > self.patience", "if waited >= self.patience"),
        ("plateau: waits count in the cooldown", "cooldown_left, waited = cooldown_left - 1, 0", "cooldown_left = cooldown_left - 1"),
        ("plateau: no cooldown", "cooldown_left, waited = self.cooldown, 0", "waited = 0"),
        ("plateau: goes on waiting after a cut", "cooldown_left, waited = self.cooldown, 0", "cooldown_left = self.cooldown"),
        ("plateau: below the minimum", "max(rate * self.factor, self.minimum)", "rate * self.factor"),
        ("plateau: cuts by less than it may", "lower if rate - lower > self.smallest_change else rate", "lower"),
        ("plateau: better loss does not reset the wait", "(loss, 0) if better", "(loss, state.waited) if better"),
        ("plateau: compares with the last loss", "best, waited = (loss, 0) if better else (state.best, state.waited + 1)", "best, waited = (loss, 0) if better else (loss, state.waited + 1)"),
        ("steps below 0 accepted", "and steps.min() >= 0)", ")"),
        ("negative rates accepted", "np.isfinite(rates) & (rates >= 0)", "np.isfinite(rates)"),
        ("a number in, an array out", "return rates if steps.ndim else float(rates)", "return rates"),
        ("truth values as steps", 'steps.dtype.kind not in "iuf"', 'steps.dtype.kind not in "biuf"'),
        ("equal boundaries accepted", "later <= earlier", "later < earlier"),
        ("a foreign schedule gets the array", "schedule(int(step) if step.is_integer() else float(step)) for step in steps", "schedule(steps) for step in steps"),
        ("plateau: absolute threshold upwards", "else state.best - self.threshold", "else state.best + self.threshold"),
        ("step decay: no stairs", "lambda t: initial * factor ** (t // every)", "lambda t: initial * factor ** (t / every)"),
        ("step decay: one step early", "lambda t: initial * factor ** (t // every)", "lambda t: initial * factor ** ((t + 1) // every)"),
        ("inverse time: rate squared", "lambda t: initial / (1 + decay_rate * _stretches(t, decay_steps, staircase))", "lambda t: initial / (1 + decay_rate**2 * _stretches(t, decay_steps, staircase))"),
    ],
    "course_lib/optimization/learning_rate_range.py": [
        ("smoothing: weights do not add up", "smoothing * mean + (1 - smoothing) * loss", "smoothing * mean + smoothing * loss"),
        ("smoothing: start not corrected", " / (1 - smoothing ** (step + 1))", ""),
        ("stop: NaN goes on", "if not current - lowest <= limit:", "if current - lowest > limit:"),
        ("stop: limit ignores the loss", "limit = stop_factor * (abs(loss) or 1.0)", "limit = stop_factor * 10"),
        ("stop: lowest is 0", "lowest = min(lowest, current)", "lowest = min(lowest, 0)"),
        ("stop: overflow counts as 0", "if finite else np.inf", "if finite else 0.0"),
        ("start is changed", "tree_map(np.array, as_parameters(start))", "as_parameters(start)"),
        ("rates in a line", "np.geomspace(low, high, steps)", "np.linspace(low, high, steps)"),
        ("suggests the lowest itself", "self.lowest / 10", "self.lowest"),
        ("no shuffle", "        order = rng.permutation(n)\n", "        order = np.arange(n)\n"),
        ("one shuffle for all passes", "    while True:\n        order = rng.permutation(n)\n", "    order = rng.permutation(n)\n    while True:\n"),
        ("always the first batch", "order[begin : begin + batch_size]", "order[:batch_size]"),
        ("rate never raised", "learning_rate=float(rate))", "learning_rate=float(low))"),
        ("lowest at the edge counts", "if turned else None", "if True else None"),
        ("divergence is no turn", "bottom < len(smoothed) - 1 or diverged is not None", "bottom < len(smoothed) - 1"),
        ("steepest rise", "np.argmax(falls)", "np.argmin(falls)"),
        ("a loss that never falls gets a rate", "    if bottom == 0:\n        return RangeTest(rates, losses, smoothed, None, None, diverged)\n", ""),
        ("optimizer ignored", "sgd() if optimizer is None else optimizer", "sgd()"),
    ],
    "course_lib/optimization/objectives.py": [
        ("least squares: half of the half", "loss = 0.5 * scale * float(residual.dot(residual)) / len(residual)", "loss = 0.25 * scale * float(residual.dot(residual)) / len(residual)"),
        ("least squares: sum in place of the mean", "        residual *= scale / len(y)\n        return residual.dot(X) if", "        residual *= scale\n        return residual.dot(X) if"),
        ("least squares: gradient of the fused pass unscaled", "        loss = value_of(w, residual)\n        residual *= scale / len(y)\n", "        loss = value_of(w, residual)\n        residual *= 1 / len(y)\n"),
        ("least squares: loss of the fused pass after scaling", "        loss = value_of(w, residual)\n        residual *= scale / len(y)\n", "        residual *= scale / len(y)\n        loss = value_of(w, residual)\n"),
        ("least squares: L of the halved loss", "smoothness=scale * largest", "smoothness=largest"),
        ("quadratic: without the half", "return _scalar(0.5 * np.sum(w * (w @ matrix), axis=-1))", "return _scalar(np.sum(w * (w @ matrix), axis=-1))"),
        ("quadratic: eigenvalues in a line", "np.geomspace(high / kappa, high, dim)", "np.linspace(high / kappa, high, dim)"),
        ("saddle: no floor", "quartic = 0.5 if bounded else 0.0", "quartic = 0.0"),
        ("logistic: labels swapped", "signs = (2 * _targets", "signs = (1 - 2 * _targets"),
        ("network: tanh's derivative", "back *= 1 - after * after if tanh else after > 0", "back *= 1 - after if tanh else after > 0"),
        ("network: sum in place of the mean", "        error /= len(labels)\n        back = error", "        back = error"),
        ("network: penalty of one kernel", '            into["kernel2"] += l2 * parts["kernel2"]\n', ""),
        ("pieces: all weigh the same", "shares = [len(piece[0]) / n for piece in pieces]", "shares = [1 / len(pieces) for piece in pieces]"),
    ],
    "course_lib/optimization/descent.py": [
        ("rate of the next step", "lr = optimizer.rate(step - 1)", "lr = optimizer.rate(step)"),
        ("clipping skipped", "                if prepare is not None:\n                    gradient = prepare(gradient)\n", ""),
        ("step counted from 0", "rule_at(step, lr, scalars)", "rule_at(max(step - 1, 1), lr, scalars)"),
        ("before is after", "before = w.copy() if recording else w", "before = w"),
        ("samples: short batch counted as whole", "return step // per_epoch * n + step % per_epoch * samples_per_step", "return step * samples_per_step"),
        ("epochs without a shuffle", "rng.permutation(n) if sampling", "np.arange(n) if sampling"),
        ("short batch lost", "            if whole * batch_size < len(rows):\n                yield tuple(a[whole * batch_size :] for a in gathered)\n", ""),
        ("tolerance unheard", "if self.tolerance > 0 and norm <= self.tolerance:", "if False:"),
        ("limit on one side", "abs(loss) > limit:\n            self.diverge", "loss > limit:\n            self.diverge"),
        ("gradient unchecked", "if not isfinite(vdot(gradient, gradient)) and not np.isfinite(gradient).all():", "if False:"),
        ("large gradients count as infinite", "if not isfinite(vdot(gradient, gradient)) and not np.isfinite(gradient).all():", "if not isfinite(vdot(gradient, gradient)):"),
        ("divergence in the next step", "run.diverge(step - 1, w,", "run.diverge(step, w,"),
        ("start changed", 'return np.array(_check.finite("start", array), order="C")', 'return _check.finite("start", array)'),
        ("callback may change the run", "ended = self.callback(step, w.copy(), loss)", "ended = self.callback(step, w, loss)"),
        ("schedule overrides the plateau", "if scheduled and plateau is None:", "if scheduled:"),
        ("divergence unraised", 'if self.status == "diverged" and self.on_divergence == "raise":', "if False:"),
    ],
}  # fmt: skip

# In the copy: whatever the installation says, its own package is the one that is imported. Hypothesis draws the same
# examples every time, and does not shrink the one that fails, which costs more than finding it.
CONFTEST = """
from pathlib import Path

import course_lib
from hypothesis import Phase, settings

settings.register_profile("mutants", phases=[Phase.explicit, Phase.generate], derandomize=True, database=None)
settings.load_profile("mutants")

assert Path(course_lib.__file__).parents[1] == Path(__file__).parent, course_lib.__file__
"""


def run(file: str, old: str, new: str, tests: list[str]) -> tuple[int, str]:
    """Run tests on a copy in which one text is replaced; give pytest's exit code and last words."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        unwanted = shutil.ignore_patterns("__pycache__", ".*")
        for part in ("course_lib", "tests"):
            shutil.copytree(ROOT / part, copy / part, ignore=unwanted)
        shutil.copy(ROOT / "pyproject.toml", copy)
        (copy / "conftest.py").write_text(CONFTEST)
        if file:
            text = (copy / file).read_text()
            if text.count(old) != 1:
                return -1, f"its old text stands {text.count(old)} times in {file}, not once"
            (copy / file).write_text(text.replace(old, new))
        options = ["-x", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=copy,
            env=os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=600,
        )
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return done.returncode, failed[0] if failed else (done.stdout + done.stderr)[-2000:]


def main(words: list[str]) -> int:
    """Run the mutants whose name or file holds one of the words, or all; give the exit code."""
    chosen = [
        (file, name, old, new)
        for file, mutants in MUTANTS.items()
        for name, old, new in mutants
        if not words or any(word in f"{file} {name}" for word in words)
    ]
    if not chosen:
        print(f"no mutant has one of {words} in its name or file")
        return 1
    all_tests = sorted({test for file, *_ in chosen for test in TESTS[file]})
    code, output = run("", "", "", all_tests)
    if code != 0:
        print(f"the tests fail without any mutation (pytest's exit code {code}):\n{output}")
        return 1
    print(f"unchanged: passes {' '.join(all_tests)}")
    with ThreadPoolExecutor(PROCESSES) as pool:
        results = pool.map(lambda mutant: run(mutant[0], mutant[2], mutant[3], TESTS[mutant[0]]), chosen)
        bad = 0
        for (_file, name, _old, _new), (code, output) in zip(chosen, results, strict=True):
            # 1: a test failed. Anything else (no such text, a broken import, no test found) proves nothing.
            caught = code == 1
            bad += not caught
            said = output.split(" - ")[0].removeprefix("FAILED ") if caught else "SURVIVES" if code == 0 else output
            print(f"{'caught  ' if caught else 'NOT OK  '} {name}: {said}", flush=True)
    print(f"{len(chosen) - bad} of {len(chosen)} mutants caught")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
