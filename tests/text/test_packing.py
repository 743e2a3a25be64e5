"""Packing loses nothing and lets nothing leak; buckets stay permutations and pure functions of seed and step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.text.packing import BucketedBatches, attention_mask, blocks, pack, padding_shares, unpack

SEQUENCES = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=10), min_size=1, max_size=25)


@settings(max_examples=150, deadline=None)
@given(SEQUENCES, st.integers(10, 16))
def test_packing_loses_nothing(sequences, length):
    packed = pack(sequences, length, padding=7)
    assert sorted(unpack(packed)) == sorted(sequences)
    tokens, sequence, positions = packed["tokens"], packed["sequence"], packed["positions"]
    assert {array.shape for array in packed.values()} == {(len(tokens), length)}
    assert (tokens[sequence == 0] == 7).all()
    assert not positions[sequence == 0].any()
    for row in range(len(tokens)):
        numbers = sequence[row][sequence[row] > 0]
        assert (sequence[row] > 0).tolist() == [True] * len(numbers) + [False] * (length - len(numbers))
        assert set(np.diff(numbers)) <= {0, 1}
        for number in range(1, numbers.max() + 1):
            np.testing.assert_array_equal(positions[row][sequence[row] == number], np.arange((numbers == number).sum()))
    fewest = -(-sum(map(len, sequences)) // length)
    assert fewest <= len(tokens) <= len(sequences)
    half_empty = ((sequence == 0).sum(1) >= length / 2).sum()
    assert half_empty <= 1  # two such rows would have gone into one


def first_fit(sizes, length):
    """Count rows the plain way: try every row from the first."""
    room = []
    for size in sorted(sizes, reverse=True):
        place = next((n for n, free in enumerate(room) if free >= size), len(room))
        room += [length] if place == len(room) else []
        room[place] -= size
    return len(room)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=40), st.integers(12, 20))
def test_each_goes_where_it_fits_first(sizes, length):
    assert len(pack([[1] * size for size in sizes], length)["tokens"]) == first_fit(sizes, length)


@settings(max_examples=50, deadline=None)
@given(SEQUENCES, st.booleans())
def test_the_mask_keeps_sequences_apart(sequences, causal):
    sequence = pack(sequences, 12)["sequence"]
    mask = attention_mask(sequence, causal)
    assert mask.shape == (len(sequence), 1, 12, 12)
    for row, query, key in np.ndindex(len(sequence), 12, 12):
        same = sequence[row, query] == sequence[row, key] > 0
        assert mask[row, 0, query, key] == (same and (key <= query or not causal))


@settings(max_examples=80, deadline=None)
@given(SEQUENCES, st.integers(1, 9), st.none() | st.integers(0, 5))
def test_blocks_are_one_line_cut(sequences, length, end):
    line = []
    for sequence in sequences:
        line += sequence + ([] if end is None else [end])
    if len(line) < length:
        with pytest.raises(ValueError, match=f"length is {length} and sequences have {len(line)} tokens"):
            blocks(sequences, length, end)
        return
    rows = blocks(sequences, length, end)
    assert rows.dtype == np.int32
    assert rows.shape == (len(line) // length, length)
    assert rows.ravel().tolist() == line[: rows.size]


@settings(max_examples=60, deadline=None)
@given(SEQUENCES, st.integers(1, 6), st.integers(0, 99), st.integers(1, 4), st.booleans(), st.booleans())
def test_buckets_are_permutations_of_step_and_seed(sequences, batch_size, seed, window, shuffle, drop):
    batch_size = min(batch_size, len(sequences))
    others = {"label": np.arange(len(sequences))}
    options = {
        "others": others, "seed": seed, "shuffle": shuffle, "drop_remainder": drop, "window": window, "multiple": 4
    }  # fmt: skip
    one = BucketedBatches(sequences, batch_size, **options)
    kept = len(sequences) // batch_size * batch_size if drop else len(sequences)
    for epoch in range(2):
        numbers = []
        for step in range(epoch * len(one), (epoch + 1) * len(one)):
            batch = one[step]
            labels = batch["others"]["label"]
            numbers += labels.tolist()
            width = batch["tokens"].shape[1]
            longest = max(len(sequences[n]) for n in labels)
            assert width == -(-longest // 4) * 4
            for row, number in zip(batch["tokens"], labels, strict=True):
                assert row.tolist() == sequences[number] + [0] * (width - len(sequences[number]))
            new = BucketedBatches(sequences, batch_size, **options)[step]
            np.testing.assert_array_equal(new["tokens"], batch["tokens"])
        assert len(numbers) == len(set(numbers)) == kept


def test_neighbours_are_of_similar_length_and_the_order_is_random():
    rng = np.random.default_rng(0)
    sequences = [[1] * int(size) for size in rng.integers(1, 100, 2000)]
    batches = BucketedBatches(sequences, 16)
    widths = [batch["tokens"].shape[1] for batch in batches]
    spreads = [np.ptp((batch["tokens"] > 0).sum(1)) for batch in batches]
    assert np.mean(spreads) < 5  # of 98 possible; without buckets about 85
    assert abs(np.corrcoef(widths[:-1], widths[1:])[0, 1]) < 0.3  # a long batch tells nothing about the next
    assert not np.array_equal(batches.order(0), batches.order(1))
    ordered = BucketedBatches(sequences, 16, shuffle=False, window=10**6)
    assert (np.diff([batch["tokens"].shape[1] for batch in ordered]) >= 0).all()


def test_tf_data_gives_the_same_of_buckets():
    sequences = [[n + 1] * (1 + n % 9) for n in range(40)]
    batches = BucketedBatches(
        sequences, 4, others=np.arange(40), multiple=1, transform=lambda b, rng: (b, rng.random())
    )
    for step, (batch, draw) in zip(range(2, 22), batches.as_tf_dataset(2).as_numpy_iterator(), strict=False):
        np.testing.assert_array_equal(batch["tokens"], batches[step][0]["tokens"])
        np.testing.assert_array_equal(batch["others"], batches[step][0]["others"])
        assert draw == batches[step][1]


def test_each_way_wastes_less():
    lengths = np.random.default_rng(1).geometric(0.06, 2000).clip(1, 64)
    shares = padding_shares(lengths, 64, 16)
    assert list(shares) == ["fixed", "longest", "bucketed", "packed"]
    assert shares["fixed"] == pytest.approx(1 - lengths.mean() / 64)
    assert shares["fixed"] > shares["longest"] > 0.3
    assert max(shares["bucketed"], shares["packed"]) < 0.05
    assert padding_shares([8, 8], 8, 2) == dict.fromkeys(shares, 0.0)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: pack([[1], [1, 2, 3]], 2), ValueError, r"sequences\[1\] has 3 tokens; it must have from 1 to 2"),
        (lambda: pack([[]], 2), ValueError, r"sequences\[0\] has 0 tokens"),
        (lambda: pack([[1]], 0), ValueError, "length is 0"),
        (lambda: pack([[1]], 2, -1), ValueError, "padding is -1"),
        (lambda: attention_mask([1, 1]), ValueError, r"sequence has shape \(2,\)"),
        (lambda: attention_mask([[1]], 1), TypeError, "causal is 1"),
        (lambda: blocks([[1]], 1, -1), ValueError, "end is -1"),
        (lambda: BucketedBatches([[1], []], 1), ValueError, r"sequences\[1\] has 0 tokens; it must have at least 1"),
        (lambda: BucketedBatches([[1]], 2), ValueError, "batch_size is 2; the 1 examples"),
        (lambda: BucketedBatches([[1]], 1, window=0), ValueError, "window is 0"),
        (lambda: BucketedBatches([[1]], 1, multiple=0), ValueError, "multiple is 0"),
        (lambda: BucketedBatches([[1]], 1, others=np.zeros(2)), ValueError, "arrays have the shapes"),
    ],
)
def test_bad_arguments_say_why(call, error, text):
    with pytest.raises(error, match=text):
        call()
