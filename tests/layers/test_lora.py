"""LoRA: the formula, its gradients, what learns and what stays, Keras' own adapters, merging and files."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest

from course_lib.layers.feed_forward import FeedForward
from course_lib.layers.lora import LoraDense, add_lora, load_lora, lora_layers, merge_lora, save_lora
from course_lib.layers.transformer_block import TransformerBlock
from tests.layers.finite_differences import check_gradients, numpy, perturb

WIDTH, HIDDEN = 8, 12


def network(seed=0, **options):
    """Two blocks and a head."""
    x = inputs = keras.Input((5, WIDTH))
    for number in (1, 2):
        x = TransformerBlock(WIDTH, 2, HIDDEN, seed=10 * seed + number, name=f"block_{number}", **options)(x)
    x = keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(seed), name="scores")(x)
    model = keras.Model(inputs, x)
    perturb(model, seed)
    return model


def arrays(batch=4):
    rng = np.random.default_rng(1)
    return rng.normal(size=(batch, 5, WIDTH)).astype("float32"), rng.normal(size=(batch, 5, 3)).astype("float32")


def move(model):
    """Give the adapters other values than those that they start with."""
    rng = np.random.default_rng(2)
    for dense in lora_layers(model):
        dense.lora_a.assign(rng.normal(size=dense.lora_a.shape))
        dense.lora_b.assign(rng.normal(size=dense.lora_b.shape))


def test_the_start_is_the_model_as_it_was():
    model, (x, _) = network(), arrays()
    before = numpy(model(x))
    add_lora(model, rank=2, seed=0)
    np.testing.assert_array_equal(numpy(model(x)), before)
    assert all(np.ptp(numpy(dense.lora_a)) > 0 for dense in lora_layers(model))
    first, second = (numpy(dense.lora_a) for dense in lora_layers(model)[:2])
    assert not np.allclose(first, second)  # each draws numbers of its own


def test_a_starts_with_the_variance_of_one_over_the_inputs():
    inputs = keras.Input((None, 1024))
    model = keras.Model(inputs, FeedForward(1024, 8)(inputs))
    add_lora(model, rank=64, targets=("up",), seed=0)
    assert np.var(numpy(lora_layers(model)[0].lora_a)) == pytest.approx(1 / 1024, rel=0.03)


@pytest.mark.parametrize(
    ("targets", "each"),
    [
        (("query", "value"), 2 * (WIDTH + WIDTH)),
        ("key", WIDTH + WIDTH),
        (("query", "key", "value", "output"), 4 * (WIDTH + WIDTH)),
        (("up", "down", "gate"), 3 * (WIDTH + HIDDEN)),
    ],
)
def test_counts(targets, each):
    model = network(activation="swiglu")
    all_weights = model.count_params()
    assert add_lora(model, rank=3, targets=targets) == 2 * 3 * each
    assert model.count_params() == all_weights + 2 * 3 * each
    assert sum(numpy(weight).size for weight in model.trainable_weights) == 2 * 3 * each
    assert {dense.name for dense in lora_layers(model)} == ({targets} if isinstance(targets, str) else set(targets))


def test_the_formula():
    rng = np.random.default_rng(0)
    x, model = rng.normal(size=(2, 3, WIDTH)).astype("float32"), network()
    add_lora(model, rank=2, alpha=5.0, targets=("query", "down"), seed=0)
    move(model)
    for dense in lora_layers(model):
        w, a, b = (numpy(v).astype("float64") for v in (dense._kernel, dense.lora_a, dense.lora_b))
        inputs = x if dense.name == "query" else rng.normal(size=(2, 3, HIDDEN)).astype("float32")
        expected = inputs @ w + 5.0 / 2 * inputs @ a @ b + numpy(dense.bias)
        np.testing.assert_allclose(numpy(dense(inputs)), expected, atol=3e-5)
        np.testing.assert_allclose(numpy(dense.kernel), w + 5.0 / 2 * a @ b, atol=1e-5)


def test_gradients():
    inputs = keras.Input((None, 4), dtype="float64")
    model = keras.Model(inputs, FeedForward(4, 6, activation="gelu", dtype="float64", seed=0)(inputs))
    add_lora(model, rank=2, alpha=3.0, targets=("up", "down"), seed=0)
    move(model)
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    assert len(model.trainable_weights) == 4
    check_gradients(lambda x: model(x), [x], model.trainable_weights)


def test_only_adapters_and_named_heads_move():
    model, (x, y) = network(dropout=0.1), arrays()
    add_lora(model, rank=2, seed=0, heads=("scores",))
    learns = {id(weight) for weight in model.trainable_weights}
    before = [numpy(weight) for weight in model.weights]
    assert len(learns) == 2 * 2 * 2 + 2
    model.compile("sgd", "mse")
    model.fit(x, y, epochs=3, verbose=0)
    for weight, old in zip(model.weights, before, strict=True):
        assert (np.abs(numpy(weight) - old).max() > 0) == (id(weight) in learns), weight.path


def test_training_equals_that_of_keras_own_adapters():
    ours, theirs, (x, y) = network(), network(), arrays()
    add_lora(ours, rank=2, alpha=3.0, seed=0)
    attentions = [theirs.get_layer(f"block_{number}").attention for number in (1, 2)]
    adapters = [dense for attention in attentions for dense in (attention.to_query, attention.to_value)]
    for dense in adapters:
        dense.enable_lora(2, lora_alpha=3.0)
    for weight in theirs.weights:
        weight.trainable = "lora" in weight.path
    for mine, other in zip(lora_layers(ours), adapters, strict=True):
        other.lora_kernel_a.assign(np.array(numpy(mine.lora_a)))  # a copy: JAX gives its own memory away
    for model in (ours, theirs):
        model.compile(keras.optimizers.SGD(0.002), "mse")
        model.fit(x, y, batch_size=2, epochs=4, shuffle=False, verbose=0)
    for mine, other in zip(lora_layers(ours), adapters, strict=True):
        assert np.abs(numpy(mine.lora_b)).max() > 1e-3
        np.testing.assert_allclose(numpy(mine.lora_a), numpy(other.lora_kernel_a), atol=2e-6)
        np.testing.assert_allclose(numpy(mine.lora_b), numpy(other.lora_kernel_b), atol=2e-6)
    np.testing.assert_allclose(numpy(ours(x)), numpy(theirs(x)), atol=2e-5)


def test_merged_it_gives_the_same_and_learns_in_full_again():
    model, (x, y) = network(), arrays()
    model.get_layer("block_1").feed_forward.trainable = False
    names = [weight.path for weight in model.weights]
    trainable = [weight.path for weight in model.trainable_weights]
    add_lora(model, rank=2, alpha=1.0, targets=("query", "output", "up"), seed=0)
    move(model)
    model.compile("sgd", "mse")
    adapted = model.predict(x, verbose=0)
    merge_lora(model)
    assert not lora_layers(model)
    assert [weight.path for weight in model.weights] == names
    assert [weight.path for weight in model.trainable_weights] == trainable
    np.testing.assert_allclose(model.predict(x, verbose=0), adapted, atol=2e-5)
    before = numpy(model.get_layer("block_2").attention.to_query.kernel)
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    assert np.abs(numpy(model.get_layer("block_2").attention.to_query.kernel) - before).max() > 0
    add_lora(model, rank=1)  # and adapters can be put on again
    assert len(lora_layers(model)) == 4


def test_a_saved_model_is_the_merged_one(tmp_path):
    model, (x, _) = network(), arrays()
    add_lora(model, rank=2, seed=0)
    move(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not lora_layers(loaded)
    np.testing.assert_allclose(numpy(loaded(x)), numpy(model(x)), atol=2e-5)
    loaded.save_weights(tmp_path / "plain.weights.h5")
    model.load_weights(tmp_path / "plain.weights.h5")  # whose adapters were moved: they must not count twice
    np.testing.assert_allclose(numpy(model(x)), numpy(loaded(x)), atol=2e-5)


def test_adapters_travel_alone(tmp_path):
    first, other, (x, _) = network(), network(), arrays()
    for model in (first, other):
        add_lora(model, rank=2, alpha=3.0, seed=5)
    other.compile("sgd", "mse")
    other.predict(x, verbose=0)
    move(first)
    save_lora(first, tmp_path / "task.npz")
    load_lora(other, tmp_path / "task.npz")
    np.testing.assert_array_equal(other.predict(x, verbose=0), first.predict(x, verbose=0))
    third = network()
    add_lora(third, rank=2, alpha=30.0)
    load_lora(third, tmp_path / "task.npz")  # the factor travels as well
    np.testing.assert_array_equal(numpy(third(x)), numpy(first(x)))

    wrong = network()
    add_lora(wrong, rank=3)
    with pytest.raises(ValueError, match=r"0000/query/a of shape \(8, 2\); the model's has \(8, 3\)"):
        load_lora(wrong, tmp_path / "task.npz")
    wrong = network()
    add_lora(wrong, rank=2, targets="query")
    with pytest.raises(ValueError, match="differ in '0001/query/a', which only the model has"):
        load_lora(wrong, tmp_path / "task.npz")


def test_bad_arguments_say_why():
    with pytest.raises(ValueError, match="rank is 0"):
        add_lora(network(), 0)
    with pytest.raises(ValueError, match="alpha is -1"):
        add_lora(network(), 2, alpha=-1)
    with pytest.raises(ValueError, match=r"targets names 'gate'; .* has down, key, output, query, up, value"):
        add_lora(network(), 2, targets=("query", "gate"))
    with pytest.raises(ValueError, match="heads names 'score'"):
        add_lora(network(), 2, heads=("score",))
    with pytest.raises(ValueError, match="has no adapters"):
        merge_lora(network())
    with pytest.raises(ValueError, match="has no adapters"):
        save_lora(network(), "nowhere")
    model = network()
    add_lora(model, 2)
    with pytest.raises(ValueError, match="has adapters already"):
        add_lora(model, 2)
    assert all(isinstance(dense, LoraDense) for dense in lora_layers(model))
