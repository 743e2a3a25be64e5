"""Batches of a data set, each a pure function of a seed and a step's number.

A training run that was killed after step 700 goes on with ``batches[700]``: nothing else has to be kept, no state of a
generator and no position in a file.

>>> batches = Batches({"x": np.arange(5), "y": np.arange(5) ** 2}, batch_size=2, seed=0)
>>> len(batches)  # an epoch; the fifth example waits for another permutation
2
>>> batches[7]["x"] ** 2 == batches[7]["y"]
array([ True,  True])
>>> seen = Batches(np.arange(6), batch_size=2)
>>> sorted(int(x) for step in (3, 4, 5) for x in seen[step])  # the second epoch
[0, 1, 2, 3, 4, 5]
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from course_lib import _check
from course_lib._tree import leaves, tree_map

__all__ = ["Batches"]


class Batches:
    """An endless sequence of batches, epoch after epoch, each epoch in another order.

    Parameters
    ----------
    arrays : array, or dict or tuple of arrays
        The data set; all have the same first axis, one entry an example. Dicts and tuples may be nested. A batch has
        the same form.
    batch_size : int
        Examples in a batch.
    seed : int
        Decides the order, together with the epoch's number, and what `transform` draws, together with the step's.
    shuffle : bool
        Whether each epoch is a new permutation; otherwise each goes through the examples as they stand.
    transform : callable, optional
        Called as ``transform(batch, rng)`` with a generator of the step's own; what it gives is the batch. Dynamic
        masking is such a function.
    drop_remainder : bool
        Whether an epoch leaves out the last examples when they do not fill a batch. Otherwise its last batch is
        smaller.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range, arrays differ in their first axis, or there is not one whole batch.

    Notes
    -----
    The permutation of an epoch is drawn from the pair (seed, epoch), and the generator of a transform from (seed,
    step), by NumPy's ``SeedSequence``, which makes such streams independent.
    """

    def __init__(
        self,
        arrays: Any,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
        transform: Callable[[Any, np.random.Generator], Any] | None = None,
        drop_remainder: bool = True,
    ) -> None:
        self.arrays = tree_map(np.asarray, arrays)
        self.batch_size = _check.count("batch_size", batch_size)
        self.seed = _check.count("seed", seed, least=0)
        self.shuffle = _check.flag("shuffle", shuffle)
        self.drop_remainder = _check.flag("drop_remainder", drop_remainder)
        if transform is not None and not callable(transform):
            raise TypeError(f"transform is {transform!r}; it must be a function of a batch and a generator, or None")
        self.transform = transform
        shapes = {path: leaf.shape for path, leaf in leaves(self.arrays)}
        sizes = {shape[0] if shape else None for shape in shapes.values()}
        if len(sizes) != 1 or None in sizes:
            raise ValueError(f"arrays have the shapes {shapes or '{}'}; all must have the same first axis")
        self.examples = int(sizes.pop() or 0)
        if self.examples < (batch_size if drop_remainder else 1):
            raise ValueError(
                f"batch_size is {batch_size}; the {self.examples} examples of arrays do not fill one batch"
            )
        self._last: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        return self.examples // self.batch_size if self.drop_remainder else -(-self.examples // self.batch_size)

    def __getitem__(self, step: int) -> Any:
        """Give the batch of a step, counted from 0 through all epochs."""
        step = _check.count("step", step, least=0)
        batch = self._collect(self._examples_of(step))
        if self.transform is None:
            return batch
        return self.transform(batch, self._generator(1, step))

    def __iter__(self) -> Iterator[Any]:
        """Go through the first epoch."""
        return self.iterate(0, len(self))

    def iterate(self, start: int = 0, stop: int | None = None) -> Iterator[Any]:
        """Go through the batches from step `start` to before step `stop`, or without an end."""
        step = _check.count("start", start, least=0)
        while stop is None or step < operator.index(stop):
            yield self[step]
            step += 1

    def as_tf_dataset(self, start: int = 0, stop: int | None = None) -> Any:
        """Give the same batches in the same order as a ``tf.data.Dataset``.

        Parameters
        ----------
        start : int
            The first step.
        stop : int, optional
            The step after the last. Without it the data set has no end, and ``fit`` needs ``steps_per_epoch``.

        Returns
        -------
        tf.data.Dataset
            It prepares a batch while the model works on the one before.
        """
        import tensorflow as tf

        def specification(leaf: Any) -> Any:
            # Which axes vary from batch to batch is not known: all but the number of axes stays open where they may.
            fixed = self.drop_remainder and not self._varies
            shape = np.shape(leaf) if fixed else (None,) * np.ndim(leaf)
            return tf.TensorSpec(shape, np.asarray(leaf).dtype)

        first = self[_check.count("start", start, least=0)]
        data = tf.data.Dataset.from_generator(
            lambda: self.iterate(start, stop), output_signature=tree_map(specification, first)
        )
        return data.prefetch(2)

    _varies = False  # whether shapes differ from batch to batch, beyond a smaller last one

    def order(self, epoch: int) -> np.ndarray:
        """Give the numbers of the examples in the order in which an epoch takes them."""
        epoch = _check.count("epoch", epoch, least=0)
        if self._last is None or self._last[0] != epoch:  # kept, since the next batch wants the same
            self._last = epoch, self._draw_order(self._generator(0, epoch))
        return self._last[1]

    def _draw_order(self, rng: np.random.Generator) -> np.ndarray:
        return rng.permutation(self.examples) if self.shuffle else np.arange(self.examples)

    def _examples_of(self, step: int) -> np.ndarray:
        epoch, place = divmod(step, len(self))
        return self.order(epoch)[place * self.batch_size : (place + 1) * self.batch_size]

    def _collect(self, examples: np.ndarray) -> Any:
        return tree_map(lambda array: array[examples], self.arrays)

    def _generator(self, purpose: int, number: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(purpose, number)))
