"""The proofs of ``book/errata.md`` that no chapter holds: each test runs what one entry says.

Chapters prove the other entries, ``tests/reference/test_sources.py`` those that need PyTorch.
``test_sources_answered.py`` reads the page: every entry names its proof, and every test here is named by an entry.
"""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from book_pages import SOURCES, code_blocks, sections_of
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor

needs_documents = pytest.mark.skipif(SOURCES is None, reason="the five documents are not beside this checkout")


def decoder_parameters(layers: int, width: int, vocabulary: int, context: int) -> int:
    """Count a GPT: embeddings of tokens and positions, per block attention, feed-forward and two norms, a last norm."""
    block = 4 * width * width + 4 * width + 8 * width * width + 5 * width + 4 * width
    return (vocabulary + context) * width + layers * block + 2 * width


def bert_parameters(layers: int, width: int, positions: int = 512, vocabulary: int = 30522) -> int:
    """Count a BERT with its pooler: embeddings of words, positions and two segments with a norm, blocks, pooler."""
    block = 4 * width * width + 4 * width + 8 * width * width + 5 * width + 4 * width
    return (vocabulary + positions + 2) * width + 2 * width + layers * block + width * width + width


VGG16 = [(3, 64, 224), (64, 64, 224), (64, 128, 112), (128, 128, 112), (128, 256, 56), (256, 256, 56), (256, 256, 56)]
VGG16 += [(256, 512, 28), (512, 512, 28), (512, 512, 28), (512, 512, 14), (512, 512, 14), (512, 512, 14)]
VGG16_DENSE = [(7 * 7 * 512, 4096), (4096, 4096), (4096, 1000)]


def vgg16_parameters() -> int:
    convolutions = sum(9 * before * after + after for before, after, _ in VGG16)
    return convolutions + sum(before * after + after for before, after in VGG16_DENSE)


# What a large model is


def test_gpt3_has_175_billion_parameters() -> None:
    counted = decoder_parameters(96, 12288, 50257, 2048)
    assert counted == pytest.approx(175e9, rel=5e-3)
    assert counted / 1.75e8 > 990
    assert counted / 1.75e10 > 9.9


def test_the_models_called_large_are_below_a_billion() -> None:
    counted = {"BERT-base": bert_parameters(12, 768), "BERT-large": bert_parameters(24, 1024)}
    counted["VGG-16"] = vgg16_parameters()
    assert counted == {"BERT-base": 109_482_240, "BERT-large": 335_141_888, "VGG-16": 138_357_544}
    assert max(counted.values()) < 1e9 / 2


def test_layers_plus_neurons_is_no_size() -> None:
    def measures(sizes: list[int]) -> tuple[int, int]:
        layers = len(sizes) - 1
        return layers + sum(sizes[1:]), sum(a * b + b for a, b in itertools.pairwise(sizes))

    wide, thin = measures([784, 101, 10]), measures([784] + [1] * 51 + [10])
    assert wide[0] == thin[0]
    assert wide[1] > 80 * thin[1]


def test_the_same_graph_at_ten_thousand_times_the_cost() -> None:
    keras = pytest.importorskip("keras")

    def network(width: int):
        inputs = keras.Input((width,))
        return keras.Model(inputs, keras.layers.Dense(width)(keras.layers.Dense(width, activation="relu")(inputs)))

    small, large = network(4), network(400)
    graph = [type(layer).__name__ for layer in small.layers]
    assert graph == [type(layer).__name__ for layer in large.layers]
    multiplications = [sum(int(np.prod(layer.kernel.shape)) for layer in net.layers[1:]) for net in (small, large)]
    assert multiplications[1] == 10_000 * multiplications[0]


def test_gpt2_and_gpt3_have_one_structure() -> None:
    small = decoder_parameters(12, 768, 50257, 1024)
    assert small == 124_439_808
    assert decoder_parameters(96, 12288, 50257, 2048) / small > 1400


def test_a_deep_network_of_sixty_thousand_parameters() -> None:
    # LeNet-5 as its paper counts it: C1, S2 (a factor and a bias a map), C3 (its table of maps), S4, C5, F6.
    maps_of_c3 = 6 * 3 + 6 * 4 + 3 * 4 + 6
    layers = [6 * (25 + 1), 6 * 2, maps_of_c3 * 25 + 16, 16 * 2, 120 * (16 * 25 + 1), 84 * (120 + 1)]
    assert sum(layers) == 60_000


def test_an_example_of_61_parameters() -> None:
    keras = pytest.importorskip("keras")
    network = keras.Sequential([keras.Input((10,)), keras.layers.Dense(5, activation="relu"), keras.layers.Dense(1)])
    assert network.count_params() == 61


def test_recall_of_always_yes_is_one() -> None:
    truth = np.array([1] + [0] * 99)
    answer = np.ones(100, dtype=int)
    hits = np.sum((truth == 1) & (answer == 1))
    assert hits / np.sum(truth == 1) == 1.0
    assert hits / np.sum(answer == 1) == 0.01  # precision
    assert np.mean(truth == answer) == 0.01


# Two fits of loss = E + A / N^a + B / D^b: arXiv:2203.15556 (section 3.3), and arXiv:2404.10102, which corrects it.
FITS = [(1.69, 406.4, 0.34, 410.7, 0.28), (1.8172, 482.01, 0.3478, 2085.43, 0.3658)]


@pytest.mark.parametrize("fit", FITS)
def test_a_smaller_model_with_more_data_beats_a_larger_one(fit: tuple[float, ...]) -> None:
    floor, a, alpha, b, beta = fit

    def loss(parameters: float, tokens: float) -> float:
        return floor + a / parameters**alpha + b / tokens**beta

    gopher, chinchilla = loss(280e9, 300e9), loss(70e9, 1.4e12)
    assert chinchilla < gopher - 0.02
    assert 70e9 * 1.4e12 < 1.2 * 280e9 * 300e9  # for about the same compute
    # With the data fixed, more parameters cannot go below what the data allow.
    assert loss(1e15, 300e9) > floor + b / 300e9**beta


def test_parameters_do_not_say_how_much_is_computed() -> None:
    convolutions = sum(9 * before * after + after for before, after, _ in VGG16)
    dense = vgg16_parameters() - convolutions
    multiplications = sum(9 * before * after * side * side for before, after, side in VGG16)
    dense_multiplications = sum(before * after for before, after in VGG16_DENSE)
    assert dense / vgg16_parameters() > 0.89
    assert dense_multiplications / (multiplications + dense_multiplications) < 0.01


def test_more_of_the_same_error_is_no_better() -> None:
    # A sensor that reads a twentieth too high, a hundred readings against a million.
    error, spread = {}, {}
    for count in (100, 1_000_000):
        readings = 1.05 * np.random.default_rng(0).normal(10, 1, size=count)
        error[count] = abs(readings.mean() - 10)
        spread[count] = readings.std() / count**0.5
    assert error[1_000_000] == pytest.approx(0.5, abs=0.01)
    assert error[1_000_000] > 400 * spread[1_000_000]  # certain, and wrong
    assert error[100] < 10 * spread[100]


def test_larger_data_makes_a_mean_easier_to_hide_in() -> None:
    # The Laplace mechanism for a mean of values in [0, 1]: noise as wide as one person can move the mean, over epsilon.
    epsilon, width = 0.5, {}
    for people in (100, 10_000):
        values = np.random.default_rng(0).uniform(size=people)
        without, with_one = np.r_[values[1:], 0.0].mean(), np.r_[values[1:], 1.0].mean()
        width[people] = (with_one - without) / epsilon
        outcomes = np.linspace(-1, 2, 1001)  # what an attacker may see, and how much likelier one person makes it
        ratio = (np.abs(outcomes - without) - np.abs(outcomes - with_one)) / width[people]
        assert np.abs(ratio).max() <= epsilon * (1 + 1e-6)
    assert width[100] / width[10_000] == pytest.approx(100)  # the same protection for a hundredth of the noise


@pytest.mark.parametrize("seed", range(5))
def test_a_model_tells_who_was_in_its_data(seed: int) -> None:
    # However the data were stored or sent: the attack asks only the trained model.
    generator = np.random.default_rng(seed)
    inputs, labels = generator.normal(size=(80, 60)), generator.normal(size=80)
    members, strangers = slice(0, 40), slice(40, 80)
    weights = np.linalg.pinv(inputs[members]) @ labels[members]  # more weights than examples
    loss = (inputs @ weights - labels) ** 2
    assert loss[members].max() < 1e-12 < np.median(loss[strangers]) / 1000


# Training


def test_the_output_layer_of_a_regression_takes_no_relu() -> None:
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(200, 3))
    target = inputs @ np.array([1.0, -2.0, 0.5])  # half of it negative
    weights = np.linalg.lstsq(inputs, target, rcond=None)[0]
    assert np.mean((inputs @ weights - target) ** 2) < 1e-20
    # Whatever the layers below give, a ReLU's output is no better than the best non-negative answer.
    best_with_relu = np.mean((np.maximum(target, 0) - target) ** 2)
    assert best_with_relu > 0.3 * np.var(target)


def test_the_way_back_uses_the_weights_of_the_way_forward() -> None:
    generator = np.random.default_rng(0)
    x, first, second = generator.normal(size=200), generator.normal(size=(200, 200)), generator.normal(size=(1, 200))

    def loss(at: np.ndarray) -> float:
        return float((second @ np.tanh(first @ at / 200**0.5))[0])

    slope = 1 - np.tanh(first @ x / 200**0.5) ** 2
    back = first.T @ (second[0] * slope) / 200**0.5
    step = 1e-6
    measured = np.array([(loss(x + step * e) - loss(x - step * e)) / (2 * step) for e in np.eye(200)])
    np.testing.assert_allclose(back, measured, atol=1e-7)
    other = generator.normal(size=(200, 200)).T @ (second[0] * slope)  # a way back with wires of its own
    assert abs(other @ measured) / (np.linalg.norm(other) * np.linalg.norm(measured)) < 0.3


@pytest.mark.parametrize(("factor", "low", "high"), [(0.5, 0, 1e-12), (1.0, 1e-2, 1e2), (2.0, 1e12, np.inf)])
def test_random_weights_vanish_and_explode_by_their_scale(factor: float, low: float, high: float) -> None:
    generator = np.random.default_rng(1)
    signal = generator.normal(size=256)
    start = np.linalg.norm(signal)
    for _ in range(50):
        weights = generator.normal(scale=factor * (2 / 256) ** 0.5, size=(256, 256))  # He et al., arXiv:1502.01852
        signal = np.maximum(weights @ signal, 0)
    assert low < np.linalg.norm(signal) / start < high


def test_a_gradient_alone_changes_no_parameter() -> None:
    tensorflow = pytest.importorskip("tensorflow")
    weights = tensorflow.Variable([1.0, -2.0])
    with tensorflow.GradientTape() as tape:
        loss = tensorflow.reduce_sum(weights**2)
    gradient = tape.gradient(loss, weights)
    np.testing.assert_array_equal(gradient.numpy(), [2.0, -4.0])
    np.testing.assert_array_equal(weights.numpy(), [1.0, -2.0])


def test_tensorflow_2_lacks_the_names_of_document_2() -> None:
    tensorflow = pytest.importorskip("tensorflow")
    assert not hasattr(tensorflow, "random_normal")
    assert not hasattr(tensorflow.train, "GradientDescentOptimizer")
    assert hasattr(tensorflow.compat.v1, "random_normal")
    assert hasattr(tensorflow.compat.v1.train, "GradientDescentOptimizer")
    with pytest.raises(RuntimeError, match="eager"):
        tensorflow.gradients(tensorflow.Variable(1.0) * 2, [])


def test_a_list_of_gradients_zipped_with_one_variable() -> None:
    v1 = pytest.importorskip("tensorflow").compat.v1
    with v1.Graph().as_default():
        weights = v1.Variable(v1.random_normal([3, 2]))
        gradients = v1.gradients(v1.reduce_mean(v1.square(weights)), weights)
        assert isinstance(gradients, list)
        assert len(gradients) == 1
        with pytest.raises(TypeError, match=r"[Ii]terating"):  # its class, OperatorNotAllowedInGraphError, is one
            list(zip(gradients, weights, strict=False))


@needs_documents
def test_the_program_of_document_2_stops_where_the_entry_says() -> None:
    (program,) = code_blocks(2)
    with pytest.raises(AttributeError, match="random_normal"):
        exec(program, {})
    graph = pytest.importorskip("tensorflow").compat.v1.Graph()
    old = program.replace("import tensorflow as tf", "import tensorflow.compat.v1 as tf")
    with graph.as_default(), pytest.raises(NameError, match="input_size"):
        exec(old, {})
    given = {"input_size": 3, "output_size": 2, "labels": np.ones((3, 2)), "learning_rate": 0.1, "num_epochs": 1}
    with graph.as_default(), pytest.raises(TypeError, match=r"[Ii]terating"):
        exec(old, {**given, "data_batches": [None]})
    assert "Session" not in program
    assert program.count("batch ") == program.count("batch in") == 1


def test_the_loss_of_document_2_copies_the_labels() -> None:
    generator = np.random.default_rng(0)
    parameters, labels = generator.normal(size=(3, 2)), generator.normal(size=(3, 2))
    for _ in range(200):
        parameters -= 0.5 * 2 * (parameters - labels) / labels.size  # the gradient of mean((parameters - labels)^2)
    np.testing.assert_allclose(parameters, labels, atol=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_tuning_on_the_test_data_flatters(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels, fresh = generator.integers(0, 2, size=100), generator.integers(0, 2, size=20_000)
    guesses = generator.integers(0, 2, size=(1000, 100))  # a thousand settings of a model that guesses
    chosen = np.max(np.mean(guesses == labels, axis=1))
    honest = np.mean(generator.integers(0, 2, size=20_000) == fresh)
    assert chosen >= 0.6
    assert abs(honest - 0.5) < 0.02


def test_embeddings_are_learned_inside_the_model() -> None:
    keras = pytest.importorskip("keras")
    embedding = keras.layers.Embedding(5, 3)
    model = keras.Sequential([embedding, keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    ids, target = np.array([[1, 2]]), np.array([[3.0]])
    model.build(ids.shape)
    before = keras.ops.convert_to_numpy(embedding.embeddings).copy()
    model.train_on_batch(ids, target)
    moved = np.any(keras.ops.convert_to_numpy(embedding.embeddings) != before, axis=1)
    assert moved.tolist() == [False, True, True, False, False]


def test_an_early_end_regularizes_without_a_penalty() -> None:
    better = []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        truth = generator.normal(size=40) / 40**0.5
        x, unseen = generator.normal(size=(50, 40)), generator.normal(size=(2000, 40))
        y = x @ truth + generator.normal(size=50)
        weights, errors = np.zeros(40), []
        for _ in range(3000):
            weights -= 0.2 * x.T @ (x @ weights - y) / 50
            errors.append(np.mean((unseen @ (weights - truth)) ** 2))
        better.append(min(errors) / errors[-1])
    assert np.median(better) < 0.6


def test_the_formula_of_document_1_gives_no_zeros() -> None:
    from sklearn.linear_model import Lasso, Ridge

    generator = np.random.default_rng(0)
    x = generator.normal(size=(100, 20))
    y = 3 * x[:, 0] + generator.normal(size=100)
    for strength in (1, 100, 10_000):
        assert np.all(Ridge(alpha=strength).fit(x, y).coef_ != 0)
    assert np.sum(Lasso(alpha=0.5).fit(x, y).coef_ != 0) == 1


def test_a_penalty_can_make_descent_unstable() -> None:
    # On a quadratic with curvature 1 the rate 1.9 converges; the L2 penalty adds its strength to the curvature.
    def end(strength: float) -> float:
        w = 1.0
        for _ in range(200):
            w -= 1.9 * (w + strength * w)
        return abs(w)

    assert end(0) < 1e-8
    assert end(0.1) > 1e4


def test_a_linear_model_beats_a_network_on_a_small_table() -> None:
    table = load_diabetes()
    x, y = table.data / table.data.std(axis=0), (table.target - table.target.mean()) / table.target.std()
    for seed in range(3):
        learn, test, target, truth = train_test_split(x, y, test_size=0.5, random_state=seed)
        linear = LinearRegression().fit(learn, target)
        network = MLPRegressor(
            hidden_layer_sizes=(256, 256), early_stopping=True, n_iter_no_change=20, random_state=seed
        ).fit(learn, target)
        numbers = sum(weights.size for weights in network.coefs_ + network.intercepts_)
        assert numbers > 6000 * (linear.coef_.size + 1)
        errors = {model: np.mean((model.predict(test) - truth) ** 2) for model in (linear, network)}
        assert errors[linear] < 0.99 * errors[network] < np.var(truth)  # both know something


def test_a_small_model_gains_from_more_data() -> None:
    errors = {}
    for count in (20, 200, 2000):
        for degree in (1, 14):
            losses = []
            for seed in range(40):
                generator = np.random.default_rng(seed)
                x, unseen = generator.uniform(-1, 1, size=count), np.linspace(-1, 1, 201)
                y = np.sin(2 * x) + 0.3 * generator.normal(size=count)
                fit = np.polynomial.legendre.Legendre.fit(x, y, degree, domain=[-1, 1])
                losses.append(np.mean((fit(unseen) - np.sin(2 * unseen)) ** 2))
            errors[degree, count] = np.median(losses)
    assert errors[1, 2000] < errors[1, 20]  # the small model does not get worse with data
    assert errors[14, 20] > 3 * errors[1, 20]  # on few data the large one is worse, not better
    assert errors[14, 2000] < errors[1, 2000]


def test_bert_gets_a_head_of_a_few_numbers() -> None:
    body = bert_parameters(12, 768)
    head = 768 * 2 + 2
    assert head / (body + head) < 2e-5


# Optimizers


def test_adam_forgets_the_size_of_the_gradients() -> None:
    from course_lib.optimization import optimizers

    def path(optimizer, factor: float) -> np.ndarray:
        w, generator = np.zeros(3), np.random.default_rng(0)
        state = optimizer.init(w)
        for _ in range(20):
            state = optimizer.update_in_place(w, factor * generator.normal(size=3), state)
        return w

    adam = [path(optimizers.adam(0.1, eps=1e-12), factor) for factor in (1, 1000)]
    momentum = [path(optimizers.sgd(0.1, momentum=0.9), factor) for factor in (1, 1000)]
    np.testing.assert_allclose(adam[0], adam[1], rtol=1e-6)
    np.testing.assert_allclose(1000 * momentum[0], momentum[1], rtol=1e-9)


def test_the_second_moment_is_no_speed() -> None:
    # A gradient that never changes: its rate of change is zero, and a speed would have a direction.
    from course_lib.optimization import optimizers

    adam, w = optimizers.adam(0.001), np.zeros(2)
    state = adam.init(w)
    for _ in range(20_000):
        state = adam.update_in_place(w, np.array([3.0, -3.0]), state)
    np.testing.assert_allclose(state.slots["v"], [9, 9], rtol=1e-6)
    np.testing.assert_allclose(state.slots["m"], [3, -3], rtol=1e-6)


def test_the_first_step_without_bias_correction_is_three_times_too_large() -> None:
    from course_lib.optimization import optimizers

    moved = {}
    for correction in (True, False):
        optimizer, w = optimizers.adam(0.001, bias_correction=correction), np.zeros(1)
        optimizer.update_in_place(w, np.array([5.0]), optimizer.init(w))
        moved[correction] = abs(w[0])
    assert moved[True] == pytest.approx(0.001, rel=1e-6)
    assert moved[False] / moved[True] == pytest.approx(0.1 / 0.001**0.5, rel=1e-6)


# Architectures


def softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def attention(x: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Give one head's output (time, head) for x (time, width); `allowed` is (time, time)."""
    scores = (x @ q) @ (x @ k).T / q.shape[1] ** 0.5
    return softmax(np.where(allowed, scores, -1e9)) @ (x @ v)


def head_weights(generator: np.random.Generator, width: int = 12, head: int = 4) -> list[np.ndarray]:
    return [generator.normal(size=(width, head)) for _ in range(3)]


def test_every_head_sees_the_whole_sequence() -> None:
    generator = np.random.default_rng(0)
    x, everything = generator.normal(size=(6, 12)), np.ones((6, 6), bool)
    heads, output = [head_weights(generator) for _ in range(3)], generator.normal(size=(12, 12))
    parts = [attention(x, *head, everything) for head in heads]
    changed = x.copy()
    changed[5] += 1  # the last position moves the first position's output of every head
    assert all(
        np.any(attention(changed, *head, everything)[0] != part[0]) for head, part in zip(heads, parts, strict=True)
    )
    joined = np.concatenate(parts, axis=1) @ output
    summed = sum(part @ output[4 * i : 4 * i + 4] for i, part in enumerate(parts))
    np.testing.assert_allclose(joined, summed)  # joining and projecting is a sum of projections
    assert joined.min() < 0
    assert abs(joined.sum(axis=1) - 1).min() > 0.01


def test_two_thirds_of_a_block_are_not_attention() -> None:
    width = 768
    attend, feed = 4 * width**2 + 4 * width, 8 * width**2 + 5 * width
    assert feed / (attend + feed + 4 * width) > 0.66


def test_bert_learns_its_positions() -> None:
    # 109,482,240 is what BERT-base has; with fixed sinusoids, which are no parameters, 512 rows would be missing.
    assert bert_parameters(12, 768) == 109_482_240
    assert bert_parameters(12, 768) - bert_parameters(12, 768, positions=0) == 512 * 768


def test_what_reads_both_ways_cannot_write_left_to_right() -> None:
    generator = np.random.default_rng(0)
    x, head = generator.normal(size=(6, 12)), head_weights(generator)
    changed = x.copy()
    changed[5] = generator.normal(size=12)  # another last word
    both_ways, to_the_left = np.ones((6, 6), bool), np.tril(np.ones((6, 6), bool))
    assert np.all(attention(x, *head, both_ways)[:5] != attention(changed, *head, both_ways)[:5])
    np.testing.assert_array_equal(attention(x, *head, to_the_left)[:5], attention(changed, *head, to_the_left)[:5])


def test_a_padding_mask_is_not_random() -> None:
    generator = np.random.default_rng(0)
    words, head = generator.normal(size=(5, 12)), head_weights(generator)
    alone = attention(words, *head, np.ones((5, 5), bool))
    padded = np.concatenate([words, generator.normal(size=(3, 12))])
    real = np.arange(8) < 5
    np.testing.assert_allclose(attention(padded, *head, np.tile(real, (8, 1)))[:5], alone, atol=1e-12)
    thrown = np.array([True, False, True, True, False, True, False, True])  # hides words and shows padding
    assert np.abs(attention(padded, *head, np.tile(thrown, (8, 1)))[:5] - alone).max() > 0.1


# Size and data


def test_a_pruned_array_is_as_large_as_before() -> None:
    from scipy import sparse

    generator = np.random.default_rng(0)
    weights = generator.normal(size=(500, 500)).astype(np.float32)
    pruned = np.where(np.abs(weights) > np.quantile(np.abs(weights), 0.5), weights, np.float32(0))
    assert pruned.nbytes == weights.nbytes

    def stored(matrix: np.ndarray) -> int:
        compact = sparse.csr_array(matrix)
        return compact.data.nbytes + compact.indices.nbytes + compact.indptr.nbytes

    assert stored(pruned) > weights.nbytes  # half zeros: the indices take what the zeros gave
    mostly = np.where(np.abs(weights) > np.quantile(np.abs(weights), 0.9), weights, np.float32(0))
    assert stored(mostly) < 0.25 * weights.nbytes


@needs_documents
def test_imdb_is_no_data_set_to_train_a_large_model_on() -> None:
    assert SOURCES is not None
    place = SOURCES.parent / "data" / "keras" / "datasets" / "imdb.npz"
    with np.load(place, allow_pickle=True) as file:
        words = sum(len(review) for review in file["x_train"])
    assert 5e6 < words < 7e6
    assert words / 300e9 < 3e-5  # GPT-3 was trained on 300 billion tokens
    assert words / 20 < 1e6  # by arXiv:2203.15556's twenty tokens a parameter, enough for less than a million


# The documents themselves


@needs_documents
def test_what_is_announced_and_not_given() -> None:
    text = {number: sections_of(number) for number in range(1, 6)}
    headings = {number: [section.heading for section in text[number].values()] for number in text}
    assert "模型架构的创新" in text[1]["1"].text
    assert not any("创新" in heading for heading in headings[1])
    for number in (2, 3):
        assert any("数学模型公式" in heading for heading in headings[number])
        assert not any("$" in section.text for section in text[number].values())
    assert "社会影响" in text[3]["1"].text
    assert not any("社会" in heading for heading in headings[3])
    assert "制造业" in text[5]["1"].text
    assert [number for number, section in text[5].items() if "制造" in section.text] == ["1", "5.1"]


@needs_documents
def test_programs_of_document_1_that_are_the_same() -> None:
    programs = code_blocks(1)
    assert len(programs) == 5
    assert programs[0] == programs[2]
    assert programs[1] == programs[3] == programs[4]
    assert not any(re.search("scheduler|weight_decay|abs|pow|norm", program) for program in programs)


@needs_documents
def test_document_3_names_recurrent_networks_two_ways() -> None:
    text = sections_of(3)
    assert "递归神经网络（RNN）" in text["2.1"].text
    assert "循环层" in text["3.1"].text
    assert "循环神经网络(RNN)" in sections_of(4)["3.1"].text
