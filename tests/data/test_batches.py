"""Batches: what a step holds depends on (seed, step) alone; epochs are permutations; tf.data gives the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.data.batches import Batches

SIZES = st.tuples(st.integers(1, 30), st.integers(1, 8)).filter(lambda pair: pair[1] <= pair[0])


def noise(batch, rng):
    return {"x": batch, "noise": rng.random(len(batch))}


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(0, 2**40), st.booleans(), st.booleans())
def test_every_epoch_is_a_permutation(sizes, seed, shuffle, drop):
    examples, batch_size = sizes
    batches = Batches(np.arange(examples), batch_size, seed, shuffle, drop_remainder=drop)
    kept = examples // batch_size * batch_size if drop else examples
    assert len(batches) == -(-kept // batch_size)
    for epoch in range(3):
        taken = [batches[epoch * len(batches) + place] for place in range(len(batches))]
        assert [len(batch) for batch in taken[:-1]] == [batch_size] * (len(batches) - 1)
        numbers = np.concatenate(taken)
        assert len(set(numbers.tolist())) == len(numbers) == kept
        assert set(numbers.tolist()) <= set(range(examples))
        if not shuffle:
            np.testing.assert_array_equal(numbers, np.arange(kept))
        np.testing.assert_array_equal(np.sort(batches.order(epoch)), np.arange(examples))


@settings(max_examples=40, deadline=None)
@given(SIZES, st.integers(0, 2**40), st.lists(st.integers(0, 60), min_size=1, max_size=12))
def test_a_step_alone_decides(sizes, seed, steps):
    """In whatever order steps are asked for, by one object or by new ones, each gives the same batch and draws."""
    one = Batches(np.arange(sizes[0]), sizes[1], seed, transform=noise)
    for step in steps:
        new = Batches(np.arange(sizes[0]), sizes[1], seed, transform=noise)
        for key in ("x", "noise"):
            np.testing.assert_array_equal(one[step][key], new[step][key])


def test_seeds_epochs_and_steps_differ():
    batches = Batches(np.arange(1000), 100, seed=1, transform=noise)
    other = Batches(np.arange(1000), 100, seed=2, transform=noise)
    assert not np.array_equal(batches.order(0), batches.order(1))
    assert not np.array_equal(batches.order(0), other.order(0))
    assert not np.array_equal(batches.order(0), np.arange(1000))
    draws = [batches[step]["noise"] for step in range(25)] + [other[step]["noise"] for step in range(25)]
    assert len({draw.tobytes() for draw in draws}) == 50


def test_every_order_is_as_likely():
    """Of 24 orders of four examples, 2400 epochs show each about 100 times: chi-square with 23 degrees of freedom."""
    batches = Batches(np.arange(4), 4)
    orders, counts = np.unique([batches.order(epoch) for epoch in range(2400)], axis=0, return_counts=True)
    assert len(orders) == 24
    assert ((counts - 100) ** 2 / 100).sum() < 60  # exceeded once in about 30,000 times


def test_iteration():
    batches = Batches(np.arange(10), 3, seed=4)
    first = [batch.tolist() for batch in batches]
    assert first == [batches[step].tolist() for step in range(3)]
    assert [batch.tolist() for batch in batches.iterate(2, 7)] == [batches[step].tolist() for step in range(2, 7)]
    endless = batches.iterate(5)
    assert [next(endless).tolist() for _ in range(4)] == [batches[step].tolist() for step in range(5, 9)]


def test_trees_keep_their_form():
    arrays = ({"tokens": np.arange(12).reshape(6, 2), "mask": np.ones((6, 2), bool)}, np.arange(6) * 10)
    inputs, labels = Batches(arrays, 4, seed=3)[0]
    assert inputs["tokens"].shape == (4, 2)
    assert inputs["mask"].dtype == bool
    np.testing.assert_array_equal(inputs["tokens"][:, 0] * 5, labels)


@pytest.mark.parametrize("drop", [True, False])
def test_tf_data_gives_the_same(drop):
    batches = Batches({"x": np.arange(11), "y": np.arange(22).reshape(11, 2)}, 4, seed=7, drop_remainder=drop)
    data = batches.as_tf_dataset(2, 9)
    assert data.element_spec["y"].shape.as_list() == [4 if drop else None, 2 if drop else None]
    taken = list(data.as_numpy_iterator())
    assert len(taken) == 7
    for step, batch in enumerate(taken, 2):
        for key in ("x", "y"):
            np.testing.assert_array_equal(batch[key], batches[step][key])
            assert batch[key].dtype == batches[step][key].dtype


def test_tf_data_draws_the_same_and_has_no_end():
    batches = Batches(np.arange(6), 2, transform=noise)
    for step, batch in zip(range(3, 20), batches.as_tf_dataset(3).as_numpy_iterator(), strict=False):
        np.testing.assert_array_equal(batch["noise"], batches[step]["noise"])


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
        ({"batch_size": 9}, ValueError, "batch_size is 9; the 5 examples of arrays do not fill one batch"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"seed": 0.5}, TypeError, r"seed is 0\.5"),
        ({"shuffle": 1}, TypeError, "shuffle is 1"),
        ({"drop_remainder": None}, TypeError, "drop_remainder is None"),
        ({"transform": 3}, TypeError, "transform is 3"),
        ({"arrays": {"x": np.zeros(5), "y": np.zeros(4)}}, ValueError, r"'y'.*\(4,\)"),
        ({"arrays": {}}, ValueError, "arrays have the shapes {}"),
        ({"arrays": 3.0}, ValueError, "all must have the same first axis"),
    ],
)
def test_bad_arguments_say_why(options, error, text):
    with pytest.raises(error, match=text):
        Batches(**({"arrays": np.zeros(5), "batch_size": 2} | options))


def test_bad_steps_say_why():
    batches = Batches(np.zeros(5), 2)
    with pytest.raises(ValueError, match="step is -1"):
        batches[-1]
    with pytest.raises(ValueError, match="epoch is -1"):
        batches.order(-1)
    with pytest.raises(ValueError, match="start is -2"):
        next(batches.iterate(-2))
    with pytest.raises(ValueError, match="start is -2"):
        batches.as_tf_dataset(-2)
