"""The training loop: its update by formula, accumulation, what it resumes, what it refuses, precision and logs."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import warnings
from dataclasses import replace

import keras
import numpy as np
import pytest

from course_lib.data.batches import Batches
from course_lib.training import Recipe, checkpoint, train

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 3)).astype("float32")
Y = (X @ [[1.0], [-2.0], [0.5]] + 0.1 * RNG.normal(size=(48, 1))).astype("float32")
RECIPE = Recipe(12, 0.05, "cosine", 2, 0.1, 0.7, evaluate_every=5, checkpoint_every=5)


def network(seed=0, dropout=0.25, units=6):
    """One with all kinds of state: weights, moving statistics, random generators."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.layers.Dense(units, "relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(1),
        ]
    )


def line():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.build((None, 3))
    model.set_weights([np.array([[0.3], [0.2], [-0.4]]), np.array([0.1])])
    return model


def batches(**options):
    return Batches((X, Y), 8, **options)


def with_another_last_batch():
    """Give the same batches but for an example of the second epoch's last, which is not in the first of all."""
    data = batches()
    example = next(i for i in data.order(1)[40:] if i not in data.order(0)[:8])
    y = Y.copy()
    y[example] += 1
    return Batches((X, y), 8)


def state(model):
    return [keras.ops.convert_to_numpy(v).tobytes() for v in model.variables + model.optimizer.variables]


class Stopped(Exception):
    """Stands in for the end of the process."""


class Stopping(Batches):
    """Batches that end the run when it asks for a certain one."""

    def __init__(self, at, *arguments, **options):
        super().__init__(*arguments, **options)
        self.at = at

    def __getitem__(self, number):
        if number == self.at:
            raise Stopped
        return super().__getitem__(number)


# --- the update -------------------------------------------------------------------------------------------------------


def test_updates_follow_the_formulas():
    """A linear model by hand: gradient, clipping of both parts together, decay of the matrix alone, Adam, schedule."""
    recipe = Recipe(8, 0.05, "linear", 2, 0.1, 0.7, beta_1=0.8, beta_2=0.95, epsilon=1e-3)
    model, data = line(), batches(seed=4)
    history = train(model, data, recipe, "mse")
    w, b = np.array([[0.3], [0.2], [-0.4]]), np.array([0.1])
    moments = [[np.zeros_like(p), np.zeros_like(p)] for p in (w, b)]
    clipped = 0
    for step in range(8):
        rate = 0.05 * (step / 2 if step < 2 else (8 - step) / 6)
        x, y = data[step]
        error = x @ w + b - y
        assert history.loss[step] == pytest.approx(np.mean(error**2), rel=1e-5)
        assert history.rate[step] == pytest.approx(rate)
        gradients = [2 * x.T @ error / len(x), 2 * error.mean(axis=0)]
        norm = np.sqrt(sum((g**2).sum() for g in gradients))
        clipped += norm > 0.7
        gradients = [g * min(1, 0.7 / norm) for g in gradients]
        w = w - rate * 0.1 * w
        for number, g in enumerate(gradients):
            m, v = moments[number]
            m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g**2
            moments[number] = [m, v]
            change = rate * np.sqrt(1 - 0.95 ** (step + 1)) / (1 - 0.8 ** (step + 1)) * m / (np.sqrt(v) + 1e-3)
            w, b = (w - change, b) if number == 0 else (w, b - change)
    assert clipped > 0
    np.testing.assert_allclose(model.get_weights()[0], w, atol=2e-6)
    np.testing.assert_allclose(model.get_weights()[1], b, atol=2e-6)


def test_it_is_keras_own_training_bit_for_bit():
    ours, theirs = network(dropout=0.0), network(dropout=0.0)
    train(ours, batches(shuffle=False), Recipe(12, 0.02), "mse")
    theirs.compile(keras.optimizers.Adam(0.02), "mse")
    theirs.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# --- accumulation -----------------------------------------------------------------------------------------------------


def chosen(batch):
    return (batch[1] > -50).sum()


class MeanOfChosen(keras.losses.Loss):
    """The squared error where the label is not -100, as a mean over those places."""

    def call(self, labels, outputs):
        known = keras.ops.cast(labels > -50, outputs.dtype)
        return keras.ops.sum(known * keras.ops.square(labels - outputs)) / keras.ops.sum(known)


def with_gaps():
    """Labels of which four batches of four lack none, one, two and three."""
    y = Y.copy()
    y[np.arange(48) % 4 < np.arange(48) // 4 % 4] = -100
    return y


def accumulated(weight, accumulate, size, loss=None, arrays=None):
    model, recipe = line(), Recipe(6, 0.05, "cosine", clip_norm=1.0, weight_decay=0.1, accumulate=accumulate)
    arrays = arrays or (X, with_gaps())
    history = train(model, Batches(arrays, size, shuffle=False), recipe, loss or MeanOfChosen(), weight=weight)
    return model.get_weights(), history


def test_weighted_accumulation_equals_the_large_batch():
    (w, b), history = accumulated(chosen, 4, 4)
    (large_w, large_b), large = accumulated(chosen, 1, 16)
    np.testing.assert_allclose(w, large_w, atol=1e-6)
    np.testing.assert_allclose(b, large_b, atol=1e-6)
    np.testing.assert_allclose(history.loss, large.loss, rtol=1e-5)
    # And the mean of means does not: the check above can fail.
    (w, _), history = accumulated(None, 4, 4)
    assert np.abs(w - large_w).max() > 1e-3
    assert np.abs(history.loss - large.loss).max() > 0.1


def test_by_rows_accumulation_equals_the_large_batch():
    (w, b), history = accumulated(None, 4, 4, "mse", (X, Y))
    (large_w, large_b), large = accumulated(None, 1, 16, "mse", (X, Y))
    np.testing.assert_allclose(w, large_w, atol=1e-6)
    np.testing.assert_allclose(b, large_b, atol=1e-6)
    np.testing.assert_allclose(history.loss, large.loss, rtol=1e-5)
    pieces = [(X[:3], Y[:3]), (X[3:10], Y[3:10])]  # of three rows and seven
    one, other = line(), line()
    train(one, pieces, Recipe(1, 0.05, accumulate=2, epsilon=1.0), "mse")
    train(other, [(X[:10], Y[:10])], Recipe(1, 0.05, epsilon=1.0), "mse")
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)


def test_a_group_may_have_an_empty_batch_but_not_only_such():
    y = Y.copy()
    y[:4] = -100
    zero = lambda batch: np.sum(batch[1] > -50)  # noqa: E731

    class Safe(MeanOfChosen):
        def call(self, labels, outputs):
            known = keras.ops.cast(labels > -50, outputs.dtype)
            square = keras.ops.sum(known * keras.ops.square(labels - outputs))
            return square / keras.ops.maximum(keras.ops.sum(known), 1.0)

    (w, _), _ = accumulated(zero, 2, 4, Safe(), (X, y))
    (large, _), _ = accumulated(zero, 1, 8, Safe(), (X, y))
    np.testing.assert_allclose(w, large, atol=1e-6)
    with pytest.raises(ValueError, match=r"weight gives \[0\.0\]"):
        accumulated(zero, 1, 4, Safe(), (X, y))


# --- validation -------------------------------------------------------------------------------------------------------


def test_validation_is_the_mean_over_all_rows():
    model = network()
    history = train(model, batches(), replace(RECIPE, steps=10), "mse", (X[:21], Y[:21]), ["mae"])
    assert list(history.validation_step) == [5, 10]
    loss, mae = model.evaluate(X[:21], Y[:21], batch_size=21, verbose=0)  # 21 are two batches of 8 and one of 5
    assert history.validation["loss"][-1] == pytest.approx(loss, rel=1e-5)
    assert history.validation["mae"][-1] == pytest.approx(mae, rel=1e-5)
    assert history.metrics["mae"].shape == (10,)
    every = Batches((X[:21], Y[:21]), 4, drop_remainder=False)
    other = train(network(), batches(), replace(RECIPE, steps=10), "mse", every, ["mae"])
    np.testing.assert_allclose(other.validation["loss"], history.validation["loss"], rtol=1e-5)
    np.testing.assert_array_equal(other.loss, history.loss)


def test_validation_counts_with_the_weights():
    y = with_gaps()
    model = line()
    history = train(model, Batches((X, y), 8), Recipe(3, 0.05), MeanOfChosen(), (X, y), weight=chosen)
    error = (X @ model.get_weights()[0] + model.get_weights()[1] - y)[y > -50]
    assert list(history.validation_step) == [3]
    assert history.validation["loss"][0] == pytest.approx(np.mean(error**2), rel=1e-5)


# --- stopping and going on --------------------------------------------------------------------------------------------


def whole(folder, recipe=RECIPE):
    model = network()
    history = train(model, batches(), recipe, "mse", (X, Y), ["mae"], folder)
    return state(model), history, (folder / "log.csv").read_bytes()


@pytest.mark.parametrize(("accumulate", "stops"), [(1, (1, 7, 11)), (3, (20, 34))])
def test_stopped_and_taken_up_it_ends_with_the_same_bits(tmp_path, accumulate, stops):
    recipe = replace(RECIPE, accumulate=accumulate)
    wanted, history, log = whole(tmp_path / "whole", recipe)
    for stop in stops:
        with pytest.raises(Stopped):
            train(network(), Stopping(stop, (X, Y), 8), recipe, "mse", (X, Y), ["mae"], tmp_path / "cut")
    model = network(9)  # whose own numbers do not matter
    resumed = train(model, batches(), recipe, "mse", (X, Y), ["mae"], tmp_path / "cut")
    assert resumed.resumed_at == 10
    assert resumed.rows() == history.rows()
    assert (tmp_path / "cut" / "log.csv").read_bytes() == log
    assert state(model) == wanted


def test_a_finished_run_is_only_read(tmp_path):
    wanted, history, log = whole(tmp_path)
    model = network(3)
    again = train(model, Stopping(12, (X, Y), 8), RECIPE, "mse", (X, Y), ["mae"], tmp_path)
    assert (again.resumed_at, len(again)) == (12, 12)
    assert state(model) == wanted
    assert again.rows() == history.rows()
    assert (tmp_path / "log.csv").read_bytes() == log


def test_a_damaged_checkpoint_costs_its_steps_and_no_more(tmp_path):
    wanted, _, log = whole(tmp_path)
    last = checkpoint.paths(tmp_path)[-1] / "state.npz"
    last.write_bytes(last.read_bytes()[:-7])
    model = network(3)
    with pytest.warns(UserWarning, match=r"checkpoint-00000012/state\.npz is damaged"):
        resumed = train(model, batches(), RECIPE, "mse", (X, Y), ["mae"], tmp_path)
    assert resumed.resumed_at == 10
    assert state(model) == wanted
    assert (tmp_path / "log.csv").read_bytes() == log
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert checkpoint.latest(tmp_path).step == 12


def test_checkpoints_come_as_often_as_asked(tmp_path):
    train(network(), batches(), replace(RECIPE, checkpoint_every=4), "mse", folder=tmp_path / "a", keep=9)
    assert [checkpoint.read(path).step for path in checkpoint.paths(tmp_path / "a")] == [4, 8, 12]
    train(network(), batches(), replace(RECIPE, checkpoint_every=None), "mse", folder=tmp_path / "b")
    assert [checkpoint.read(path).step for path in checkpoint.paths(tmp_path / "b")] == [12]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"recipe": replace(RECIPE, learning_rate=0.1)}, r"recipe\.learning_rate is 0\.05 there and 0.1 now"),
        ({"recipe": replace(RECIPE, steps=13)}, r"recipe\.steps is 12 there and 13 now"),
        ({"model": lambda: network(units=7)}, r"model\.layers\.1\.units is 6 there and 7 now"),
        ({"model": lambda: network(dropout=0.5)}, r"model\.layers\.3\.rate is 0\.25 there and 0.5 now"),
        ({"batches": lambda: batches(seed=1)}, r"data\.first batch"),
        ({"batches": lambda: Batches((X, Y), 4)}, r"data\.first batch"),
        ({"batches": with_another_last_batch}, r": data\.last batch is '\w+' there and '\w+' now\. Take"),
        ({"loss": "mae"}, r": loss is 'mse' there and 'mae' now"),
        ({"metrics": []}, r": metrics is 'mae' there and '' now"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(finished, change, text):
    given = {"model": network, "batches": batches, "recipe": RECIPE, "loss": "mse", "metrics": ["mae"]} | change
    model = given["model"]()
    with pytest.raises(ValueError, match="belongs to another run.*" + text):
        train(model, given["batches"](), given["recipe"], given["loss"], (X, Y), given["metrics"], finished)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    whole(folder)
    return folder


def test_frozen_layers_are_part_of_what_a_checkpoint_belongs_to(finished):
    model = network()
    model.build((None, 3))
    model.layers[0].trainable = False
    with pytest.raises(ValueError, match=r"kernel \(3, 6\)' there and '.*kernel \(3, 6\), fixed' now"):
        train(model, batches(), RECIPE, "mse", (X, Y), ["mae"], finished)


def test_what_changes_nothing_may_change(finished):
    model, recipe = network(), replace(RECIPE, progress=True, checkpoint_every=None)
    assert train(model, batches(), recipe, "mse", (X, Y), ["mae"], finished).resumed_at == 12


def test_another_version_warns(tmp_path, monkeypatch):
    with pytest.raises(Stopped):
        train(network(), Stopping(7, (X, Y), 8), RECIPE, "mse", folder=tmp_path)
    monkeypatch.setattr(keras, "__version__", "3.0.0")
    with pytest.warns(UserWarning, match=r"written with .* and this is \{'keras': '3\.0\.0'"):
        train(network(), batches(), RECIPE, "mse", folder=tmp_path)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    y = Y.copy()
    y[40] = np.nan
    data = Batches((X, y), 8, shuffle=False)  # in the sixth batch
    with pytest.raises(FloatingPointError, match=r"the loss of step 6 is nan; a learning_rate below 0\.05"):
        train(network(), data, replace(RECIPE, checkpoint_every=1), "mse", folder=tmp_path)
    assert checkpoint.latest(tmp_path).step == 5


# --- chance, precision, batches, logs ---------------------------------------------------------------------------------


def losses(seed, model=None):
    return list(train(model or network(), batches(), Recipe(3, 0.01, seed=seed), "mse").loss)


def test_the_seed_decides_on_dropout():
    first = losses(0)
    assert losses(0) == first
    assert losses(1) != first
    used = network()
    used(X, training=True)  # draws from the model's generators, and moves statistics
    used.set_weights(network_weights())
    assert losses(0, used) == first


def network_weights():
    model = network()
    model.build((None, 3))
    return model.get_weights()


class Watch(keras.layers.Layer):
    """Notes the precision in which it is asked to compute."""

    def call(self, x):
        self.seen = [*getattr(self, "seen", []), keras.backend.standardize_dtype(x.dtype)]
        return x


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_layers_compute_in_half_precision_and_weights_do_not(precision):
    def watched():
        keras.utils.set_random_seed(0)
        return keras.Sequential([keras.layers.Dense(6, "relu"), watch := Watch(), keras.layers.Dense(1)]), watch

    model, watch = watched()
    half = train(model, batches(), Recipe(12, 0.05, precision=precision), "mse", (X, Y))
    assert precision in watch.seen
    assert {str(keras.backend.standardize_dtype(v.dtype)) for v in model.trainable_variables} == {"float32"}
    watch.seen = []
    model.predict(X, verbose=0)
    assert set(watch.seen) == {"float32"}  # it is only lent
    other, watch = watched()
    full = train(other, batches(), Recipe(12, 0.05), "mse", (X, Y))
    assert set(watch.seen) == {"float32"}
    assert half.loss[0] == pytest.approx(full.loss[0], rel=0.02)
    assert half.validation["loss"][-1] == pytest.approx(full.validation["loss"][-1], rel=0.5)
    assert np.abs(half.loss - full.loss).max() > 0  # something did change
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (precision == "float16")


def test_an_update_whose_gradients_overflow_is_left_out():
    """With labels of 1e5 the gradient, times the factor of 2**15, is beyond the 65504 of float16."""
    model = line()
    before = model.get_weights()
    train(model, Batches((X, 1e5 * Y), 8), Recipe(1, 0.1, precision="float16"), "mse")
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert float(keras.ops.convert_to_numpy(model.optimizer.dynamic_scale)) == 2.0**14


def test_batches_may_be_dicts_and_tuples():
    weights = RNG.random((48,)).astype("float32")
    first, second, third = network(), network(), network()
    train(first, Batches((X, Y, weights), 8), Recipe(4, 0.05), "mse")
    train(second, Batches({"x": X, "labels": Y, "weights": weights}, 8), Recipe(4, 0.05), "mse")
    train(third, batches(), Recipe(4, 0.05), "mse")
    assert state(first) == state(second) != state(third)

    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    both = keras.Model({"a": a, "b": b}, keras.layers.Dense(1)(a - b))
    history = train(both, Batches({"a": X, "b": 0 * X, "labels": Y}, 8), Recipe(30, 0.2), "mse")
    assert history.loss[-1] < history.loss[0] / 4


@pytest.mark.parametrize(
    ("batch", "error", "text"),
    [
        ([X, Y], TypeError, "batches gives list"),
        ((X, Y, Y, Y), TypeError, "batches gives a tuple of 4"),
        ({"labels": Y}, ValueError, r"batches gives a dict of \['labels'\]; it has no inputs"),
    ],
)
def test_bad_batches_say_why(batch, error, text):
    with pytest.raises(error, match=text):
        train(network(), [batch], Recipe(1, 0.1), "mse")


def test_bad_arguments_say_why(tmp_path):
    with pytest.raises(TypeError, match="recipe is 5; it must be a Recipe"):
        train(network(), batches(), 5)
    with pytest.raises(ValueError, match="keep is 0"):
        train(network(), batches(), RECIPE, "mse", folder=tmp_path, keep=0)


def test_the_log_of_values(tmp_path):
    _, history, log = whole(tmp_path)
    lines = log.decode().splitlines()
    assert lines[0] == "step,loss,rate,mae,val_loss,val_mae"
    table = [line.split(",") for line in lines[1:]]
    assert [float(row[1]) for row in table] == list(history.loss)
    assert [row[4] != "" for row in table] == [step in (5, 10, 12) for step in range(1, 13)]


def test_the_log_for_tensorboard_is_that_of_an_undisturbed_run(tmp_path):
    import tensorflow as tf

    def scalars(folder):
        (path,) = (folder / "tensorboard").glob("events.out.tfevents.*")
        found = {}
        for number, record in enumerate(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()):
            event = tf.compat.v1.Event.FromString(record)
            if number == 0:
                assert event.file_version == "brain.Event:2"
            for value in event.summary.value:
                assert (event.step, value.tag) not in found
                found[event.step, value.tag] = value.simple_value
        return found

    recipe = replace(RECIPE, log="tensorboard")
    history = train(network(), batches(), recipe, "mse", (X, Y), folder=tmp_path / "whole")
    with pytest.raises(Stopped):
        train(network(), Stopping(7, (X, Y), 8), recipe, "mse", (X, Y), folder=tmp_path / "cut")
    assert max(step for step, _ in scalars(tmp_path / "cut")) == 7
    train(network(), batches(), recipe, "mse", (X, Y), folder=tmp_path / "cut")
    assert scalars(tmp_path / "cut") == scalars(tmp_path / "whole")
    wanted = {(row["step"], name): np.float32(row[name]) for row in history.rows() for name in row if name != "step"}
    assert scalars(tmp_path / "whole") == wanted
    assert not (tmp_path / "whole" / "log.csv").exists()


def test_no_log_and_no_folder_leave_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(network(), batches(), replace(RECIPE, log=None), "mse", folder=tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"checkpoint-00000010", "checkpoint-00000012"}
    train(network(), batches(), RECIPE, "mse")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_progress_is_shown_if_asked(capsys):
    train(network(), batches(), replace(RECIPE, progress=True), "mse")
    assert "12/12" in capsys.readouterr().out
    train(network(), batches(), RECIPE, "mse")
    assert capsys.readouterr().out == ""


def test_what_is_beside_the_state_can_be_read_by_people(finished):
    about = json.loads((checkpoint.paths(finished)[-1] / "about.json").read_text())
    assert about["recipe"]["learning_rate"] == 0.05
    assert about["written by"]["keras"] == keras.__version__
