"""The training loop: take a batch, follow the gradient, write down what happened; and stop and go on anywhere.

>>> import keras, numpy as np
>>> from course_lib.data.batches import Batches
>>> x = np.linspace(-1, 1, 64, dtype="float32")[:, None]
>>> keras.utils.set_random_seed(0)
>>> model = keras.Sequential([keras.layers.Dense(1)])
>>> recipe = Recipe(steps=60, learning_rate=0.2, schedule="cosine", warmup=5, clip_norm=1.0, evaluate_every=30)
>>> history = train(model, Batches((x, 2 * x + 1), 16), recipe, loss="mse", validation=(x, 2 * x + 1))
>>> history.validation_step, bool(history.validation["loss"][-1] < 0.02)
(array([30, 60]), True)
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np

from course_lib import _check
from course_lib._tree import leaves, tree_map
from course_lib.training import _backend, checkpoint
from course_lib.training._logs import open_log
from course_lib.training._optimizer import make_optimizer
from course_lib.training.history import History, Row
from course_lib.training.recipe import Recipe

__all__ = ["train"]

# What may differ between a checkpoint's recipe and the one that takes it up: nothing that changes weights or the log.
FREE = ("progress", "checkpoint_every")
PART = r"\['([^']*)'\]"  # of a path in a tree


def train(
    model: keras.Model,
    batches: Any,
    recipe: Recipe,
    loss: Any = None,
    validation: Any = None,
    metrics: Sequence[Any] = (),
    folder: str | Path | None = None,
    weight: Callable[[Any], float] | None = None,
    keep: int = 2,
) -> History:
    """Train a model, from the start or from where an earlier call was stopped.

    With a `folder` the call may be killed at any moment. The same call again, in a new process, takes up the last
    checkpoint. On the same machine, with the same versions and number of threads, it ends with the same weights, bit
    for bit, and the same log as a run that was never stopped; at most the updates since the checkpoint are done twice.
    That works because everything that changes is in the checkpoint (weights, statistics and the state of random
    generators in the model; the optimizer's moments; the History), and the rest, batches and learning rate, follows
    from the step's number.

    Parameters
    ----------
    model : keras.Model
        Built or not, compiled or not; it is compiled anew with the recipe's optimizer. Layers that are frozen stay so.
    batches : course_lib.data.batches.Batches, or anything with ``batches[number]``
        Batch ``number`` must be the same whenever it is asked for. A batch is a tuple (inputs, labels) or (inputs,
        labels, sample weights), whose parts may be dicts; or one dict, of which ``"labels"`` and ``"weights"`` (if
        there) are taken out, and the rest are the inputs.
    recipe : Recipe
        What to do.
    loss : str, keras.losses.Loss, callable or dict of these, optional
        As ``model.compile`` takes it; None if the model adds its own by ``add_loss``.
    validation : Batches, sequence of batches, or one batch as a tuple, optional
        What to evaluate on, all of it (of `Batches`, the first epoch). One batch is cut into pieces as large as the
        training batches.
    metrics : sequence
        As ``model.compile`` takes them.
    folder : str or Path, optional
        Where checkpoints and log are kept, and looked for. One folder belongs to one run: the weights that `model`
        comes with count for nothing where there is a checkpoint.
    weight : callable, optional
        From a batch to the number of things over which its loss is a mean: masked positions, for example,
        ``lambda batch: (batch["labels"] != -100).sum()``. By default the number of rows. See the notes.
    keep : int
        How many checkpoints to keep.

    Returns
    -------
    History
        Of the whole run, what happened before it was stopped included.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; or if `folder` holds a checkpoint of another model, recipe, loss or other data:
        the text says what differs.
    FloatingPointError
        If a loss is not finite; the text names the step. No checkpoint is written after it.

    Warns
    -----
    UserWarning
        If the last checkpoint is damaged and the one before it is taken; or if it was written with another backend or
        version, so that the results will not be equal bit for bit.

    Notes
    -----
    **Accumulation.** An update takes ``recipe.accumulate`` batches, numbers ``accumulate * step`` and following. Let
    batch *i* have the loss ``L_i``, a mean over ``w_i`` things. The loss of all batches together is
    ``sum(w_i * L_i) / sum(w_i)``, and with that weighting the gradient is that of one large batch, up to rounding.
    Averages of averages, which is what unweighted accumulation computes, are not: where one batch has 5 masked
    positions and another 20, each of the 5 would count four times as much. Three things are not those of a large
    batch for any weighting: batch normalisation, whose statistics are of the small batches; dropout, which draws other
    numbers; and a sum of two losses that are means over different things, since a batch has one weight.

    Loss and metrics of an update, and those of the validation data, are averaged with the same weights.

    The log: ``log.csv`` has a row an update with the columns of `History`; ``tensorboard/`` is a folder for
    ``tensorboard --logdir``.

    Examples
    --------
    A run that is stopped after 20 of 30 updates, and goes on:

    >>> import tempfile
    >>> from course_lib.data.batches import Batches
    >>> x = np.linspace(-1, 1, 32, dtype="float32")[:, None]
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> recipe = Recipe(steps=30, learning_rate=0.1, checkpoint_every=10)
    >>> class Stopping(Batches):
    ...     def __getitem__(self, step):
    ...         if step == 25:
    ...             raise KeyboardInterrupt
    ...         return super().__getitem__(step)
    >>> folder = tempfile.mkdtemp()
    >>> try:
    ...     train(model, Stopping((x, 3 * x), 8), recipe, loss="mse", folder=folder)
    ... except KeyboardInterrupt:
    ...     history = train(model, Batches((x, 3 * x), 8), recipe, loss="mse", folder=folder)
    >>> history.resumed_at, len(history)
    (20, 30)
    """
    if not isinstance(recipe, Recipe):
        raise TypeError(f"recipe is {recipe!r}; it must be a Recipe")
    _check.count("keep", keep)
    folder = None if folder is None else Path(folder)
    weigh = weight or _rows_of
    first = batches[0]
    inputs, rows_of_a_batch = _parts(first)[0], _rows_of(first)
    if not model.built:
        model(tree_map(keras.ops.convert_to_tensor, inputs))  # makes the weights
    if not model.trainable_variables:
        raise ValueError(f"model is {model.name!r}, all of whose weights are frozen; there is nothing to train")

    with _backend.computing_in(model, recipe.precision):
        optimizer = make_optimizer(recipe, model.trainable_variables)
        model.compile(optimizer=optimizer, loss=loss, metrics=list(metrics), auto_scale_loss=False)
        _backend.seed(model, recipe.seed)
        state = {f"model/{i:05d}": v for i, v in enumerate(model.variables)}
        state |= {f"optimizer/{i:05d}": v for i, v in enumerate(optimizer.variables)}
        what = {"model": _describe(model), "recipe": asdict(recipe), "loss": _name(loss), "metrics": _name(metrics)}

        rows: list[Row] = []
        start = 0
        found = checkpoint.latest(folder) if folder else None
        if found is not None:
            start = found.step
            _compare(found, what | {"data": _fingerprint(batches, start, recipe)})
            for name, variable in state.items():
                variable.assign(found.arrays[name])
            _backend.set_random_state(found.arrays)
            rows = json.loads(found.arrays["history"].tobytes())

        rates = recipe.rate(np.arange(recipe.steps))
        bar = keras.utils.Progbar(recipe.steps) if recipe.progress else None
        with closing(open_log(recipe.log, folder, rows, validation is not None)) as log:
            for step in range(start, recipe.steps):
                optimizer.learning_rate = float(rates[step])
                of_step = range(step * recipe.accumulate, (step + 1) * recipe.accumulate)
                logs = _update(model, [batches[number] for number in of_step], weigh)
                if not math.isfinite(logs["loss"]):
                    raise FloatingPointError(
                        f"the loss of step {step + 1} is {logs['loss']}; a learning_rate below "
                        f"{recipe.learning_rate}, a warmup or a clip_norm may prevent it"
                    )
                row: Row = {"step": step + 1, "loss": logs.pop("loss"), "rate": float(rates[step])} | logs
                if validation is not None and _due(step + 1, recipe.evaluate_every, recipe.steps):
                    found_there = _evaluate(model, validation, rows_of_a_batch, weigh)
                    row |= {f"val_{name}": value for name, value in found_there.items()}
                rows.append(row)
                log.write(row)
                if bar is not None:
                    bar.update(step + 1, [(name, row[name]) for name in row if name not in ("step", "rate")])
                if folder is not None and _due(step + 1, recipe.checkpoint_every, recipe.steps):
                    arrays = {name: _backend.to_numpy(variable) for name, variable in state.items()}
                    arrays |= _backend.random_state()
                    arrays["history"] = np.frombuffer(json.dumps(rows).encode(), "uint8")
                    about = what | {"data": _fingerprint(batches, step + 1, recipe), "written by": _versions()}
                    checkpoint.write(folder, step + 1, arrays, about, keep)
    return History.from_rows(rows, resumed_at=start)


def _update(model: keras.Model, group: list[Any], weigh: Callable[[Any], float]) -> dict[str, float]:
    """Make one update from a group of batches; give the loss and the metrics, averaged over them."""
    shares = _shares(group, weigh)
    total: dict[str, float] = {}
    for batch, share in zip(group, shares, strict=True):
        if len(group) > 1:  # the optimizer waits for the last of the group
            model.optimizer.share.assign(len(group) * share)
        for name, value in model.train_on_batch(*_parts(batch), return_dict=True).items():
            total[name] = total.get(name, 0.0) + share * float(value)
    return total


def _evaluate(model: keras.Model, data: Any, size: int, weigh: Callable[[Any], float]) -> dict[str, float]:
    """Average the loss and the metrics over validation data, without dropout."""
    group = list(_cut(data, size)) if isinstance(data, tuple) else [data[number] for number in range(len(data))]
    total: dict[str, float] = {}
    for batch, share in zip(group, _shares(group, weigh), strict=True):
        for name, value in model.test_on_batch(*_parts(batch), return_dict=True).items():
            total[name] = total.get(name, 0.0) + share * float(value)
    return total


def _shares(group: list[Any], weigh: Callable[[Any], float]) -> list[float]:
    """Say how much each batch counts, so that a mean of means is the mean over all."""
    weights = [float(weigh(batch)) for batch in group]
    if not all(math.isfinite(w) and w >= 0 for w in weights) or sum(weights) <= 0:
        raise ValueError(f"weight gives {weights} for the batches of a group; all must be at least 0, and one above it")
    return [w / sum(weights) for w in weights]


def _due(step: int, every: int | None, last: int) -> bool:
    return step == last or (every is not None and step % every == 0)


# --- batches ----------------------------------------------------------------------------------------------------------


def _parts(batch: Any) -> tuple[Any, Any, Any]:
    """Split a batch into inputs, labels and sample weights; None for what it lacks."""
    if isinstance(batch, dict):
        rest = {name: array for name, array in batch.items() if name not in ("labels", "weights")}
        if not rest:
            raise ValueError(f"batches gives a dict of {sorted(batch)}; it has no inputs")
        inputs = next(iter(rest.values())) if len(rest) == 1 else rest
        return inputs, batch.get("labels"), batch.get("weights")
    if isinstance(batch, tuple) and 1 <= len(batch) <= 3:
        inputs, labels, weights = (*batch, None, None)[:3]
        return inputs, labels, weights
    kind = f"a tuple of {len(batch)}" if isinstance(batch, tuple) else type(batch).__name__
    raise TypeError(f"batches gives {kind}; a batch is (inputs, labels), (inputs, labels, weights) or a dict")


def _rows_of(batch: Any) -> int:
    """Count the rows of a batch."""
    _, first = next(leaves(_parts(batch)[0]))
    return len(first)


def _cut(data: tuple[Any, ...], size: int) -> Iterator[Any]:
    """Cut one large batch into smaller ones."""
    for start in range(0, _rows_of(data), size):
        rows = slice(start, start + size)
        yield tree_map(lambda array, rows=rows: None if array is None else np.asarray(array)[rows], data)


# --- what a checkpoint belongs to -------------------------------------------------------------------------------------


def _fingerprint(batches: Any, step: int, recipe: Recipe) -> dict[str, str]:
    """Hash two batches: the first of all, and the last before a step."""
    numbers = {"first batch": 0, "last batch": step * recipe.accumulate - 1}
    return {name: _hash(batches[number]) for name, number in numbers.items()}


def _hash(tree: Any) -> str:
    digest = hashlib.sha256()
    for path, leaf in leaves(tree):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{path} {array.dtype} {array.shape} ".encode() + array.tobytes())
    return digest.hexdigest()[:16]


def _describe(model: keras.Model) -> dict[str, Any]:
    """Describe a model by its settings and variables, without the numbers that Keras puts behind names."""
    found: dict[str, Any] = {"class": type(model).__name__}
    try:
        settings = json.loads(model.to_json())
    except (NotImplementedError, TypeError, ValueError):  # a subclass without get_config: its variables must do
        settings = {}
    for path, value in leaves(settings.get("config", {})):
        name = _unnumbered(".".join(re.findall(r"\w+", path)))
        # How large the batch was with which the model was built is no part of it.
        if not re.search(r"\b(build_config|build_input_shape|batch_shape)\b", name):
            found[name.replace(".config.", ".")] = _unnumbered(value) if isinstance(value, str) else value
    for number, variable in enumerate(model.variables):
        kind = "" if variable.trainable else ", fixed"
        found[f"variable {number}"] = f"{_unnumbered(variable.path)} {tuple(variable.shape)}{kind}"
    return found


def _unnumbered(text: str) -> str:
    """Take the counters off automatic names: the second Dense of a process is called dense_1."""
    return re.sub(r"_\d+\b", "", text)


def _name(thing: Any) -> str:
    """Name a loss or metrics for comparison."""
    if isinstance(thing, dict):
        return ", ".join(f"{key}: {_name(value)}" for key, value in sorted(thing.items()))
    if isinstance(thing, (list, tuple)):
        return ", ".join(_name(value) for value in thing)
    if thing is None or isinstance(thing, str):
        return str(thing)
    return _unnumbered(str(getattr(thing, "name", None) or getattr(thing, "__name__", type(thing).__name__)))


def _versions() -> dict[str, str]:
    backend = keras.backend.backend()
    version = getattr(sys.modules.get(backend), "__version__", "")
    return {"keras": keras.__version__, backend: version, "numpy": np.__version__}


def _compare(found: checkpoint.Checkpoint, now: dict[str, Any]) -> None:
    """Refuse a checkpoint of something else, and say what differs."""

    def flat(about: dict[str, Any]) -> dict[str, Any]:
        parts = {key: about.get(key) for key in ("model", "recipe", "loss", "metrics", "data")}
        parts["recipe"] = {key: value for key, value in (parts["recipe"] or {}).items() if key not in FREE}
        return dict(leaves(json.loads(json.dumps(parts))))

    before, after = flat(found.about), flat(now)
    names = [name for name in before | after if before.get(name) != after.get(name)]
    if names:
        texts = [
            f"{'.'.join(re.findall(PART, name))} is {before.get(name)!r} there and {after.get(name)!r} now"
            for name in names[:5]
        ]
        more = f", and {len(names) - 5} more" if len(names) > 5 else ""
        raise ValueError(
            f"{found.path} belongs to another run: {'; '.join(texts)}{more}. Take another folder for this run, or "
            "remove that one"
        )
    written, versions = found.about["written by"], _versions()
    if written != versions:
        warnings.warn(
            f"{found.path} was written with {written}, and this is {versions}: the run goes on, but the result may "
            "differ in its last digits from that of a run that was never stopped",
            stacklevel=3,
        )
