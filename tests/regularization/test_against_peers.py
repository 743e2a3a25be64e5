"""Against scikit-learn, SciPy and Keras, on random problems."""

import numpy as np
import pytest

from course_lib import regularization as r
from tests.regularization.test_linear import largest, problem
from tests.regularization.test_penalties import PENALTIES, prox_objective

linear_model = pytest.importorskip("sklearn.linear_model")
naive_bayes = pytest.importorskip("sklearn.naive_bayes")
scipy_optimize = pytest.importorskip("scipy.optimize")
stats = pytest.importorskip("scipy.stats")
SHAPES = [(40, 8), (8, 40), (25, 25), (30, 1), (200, 30)]
intercepts = pytest.mark.parametrize("intercept", [True, False])
CORRELATED = pytest.mark.parametrize("correlated", [True, False])


@intercepts
@CORRELATED
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("strength", [1e-3, 1.0, 100.0])
def test_ridge(shape, strength, correlated, intercept):
    x, y, _ = problem(hash((shape, correlated)) % 1000, *shape, correlated)
    ours, theirs = r.ridge(x, y, strength, intercept), linear_model.Ridge(strength, fit_intercept=intercept).fit(x, y)
    assert np.abs(ours.coefficients - theirs.coef_).max() < 1e-6
    assert ours.intercept == pytest.approx(theirs.intercept_, abs=1e-6)
    assert np.abs(ours.predict(x) - theirs.predict(x)).max() < 1e-6
    several = np.column_stack([y, y**2])
    theirs = linear_model.Ridge(strength, fit_intercept=intercept).fit(x, several)
    ours = r.ridge(x, several, strength, intercept)
    assert np.abs(ours.coefficients - theirs.coef_.T).max() < 1e-6
    assert np.abs(ours.intercept - theirs.intercept_).max() < 1e-6


@intercepts
@CORRELATED
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_lasso_and_elastic_net(shape, ratio, share, correlated, intercept):
    x, y, _ = problem(hash((shape, correlated)) % 1000, *shape, correlated)
    strength = share * largest(x, y)
    options = {"fit_intercept": intercept, "tol": 1e-14, "max_iter": 1_000_000}
    if ratio == 1:
        ours, peer = r.lasso(x, y, strength, intercept), linear_model.Lasso(strength, **options)
    else:
        ours = r.elastic_net(x, y, strength, ratio, intercept)
        peer = linear_model.ElasticNet(strength, l1_ratio=ratio, **options)
    theirs = peer.fit(x, y)
    assert np.abs(ours.coefficients - theirs.coef_).max() < 1e-6
    assert ours.intercept == pytest.approx(theirs.intercept_, abs=1e-5)


@pytest.mark.parametrize("shape", [(40, 8), (15, 30)])
def test_the_path_at_its_knots_and_on_a_grid(shape):
    x, y, _ = problem(21, *shape, correlated=False)
    x, y = x - x.mean(axis=0), y - y.mean()
    knots, _, coefficients = linear_model.lars_path(x, y, method="lasso")
    inner = knots > 1e-6 * knots[0]
    path = r.regularization_path(x, y, knots[inner], fit_intercept=False)
    assert inner.sum() > 5
    assert np.abs(path.coefficients - coefficients[:, inner].T).max() < 1e-6
    strengths = np.geomspace(knots[0], knots[0] / 1000, 30)
    _, coefficients, _ = linear_model.lasso_path(x, y, alphas=strengths, tol=1e-14, max_iter=1_000_000)
    path = r.regularization_path(x, y, count=30, fit_intercept=False)
    assert np.allclose(path.strengths, strengths)
    assert np.abs(path.coefficients - coefficients.T).max() < 1e-6


@pytest.mark.parametrize("name", PENALTIES)
def test_proximal_steps_against_a_minimiser_without_gradients(name):
    rng = np.random.default_rng(5)
    penalty, x, t = PENALTIES[name], 3 * rng.normal(size=(2, 3)), rng.uniform(0.5, 2)
    objective = prox_objective(penalty, x, t)
    options = {"maxiter": 100_000, "maxfev": 100_000, "xatol": 1e-9, "fatol": 1e-13, "adaptive": True}
    best = x.ravel()
    for _ in range(2):  # begun again where it ended
        best = scipy_optimize.minimize(objective, best, method="Nelder-Mead", options=options).x
    assert np.allclose(penalty.proximal(x, t).ravel(), best, atol=1e-4)


def test_densities_of_the_priors():
    for w in (-2.0, 0.0, 0.3):
        normal, laplace = stats.norm(scale=0.7).logpdf(w), stats.laplace(scale=0.7).logpdf(w)
        assert r.GaussianPrior(0.7).negative_log_density(w) == pytest.approx(-normal, rel=1e-12)
        assert r.LaplacePrior(0.7).negative_log_density(w) == pytest.approx(-laplace, rel=1e-12)
    rng = np.random.default_rng(0)
    for prior, name in ((r.GaussianPrior(0.7), "norm"), (r.LaplacePrior(0.7), "laplace")):
        assert stats.kstest(prior.sample(5000, rng), name, args=(0, 0.7)).pvalue > 1e-4


@pytest.mark.parametrize("fit_prior", [True, False])
@pytest.mark.parametrize("alpha", [0.1, 1.0, 5.0])
def test_naive_bayes(alpha, fit_prior):
    rng = np.random.default_rng(int(alpha * 10))
    for classes, features in ((2, 5), (4, 50)):
        x = rng.poisson(rng.gamma(0.5, size=features), size=(60, features))
        y = np.append(np.arange(classes), rng.integers(0, classes, size=60 - classes)) * 10
        ours = r.MultinomialNaiveBayes(alpha, fit_prior).fit(x, y)
        theirs = naive_bayes.MultinomialNB(alpha=alpha, fit_prior=fit_prior).fit(x, y)
        new = rng.poisson(1.0, size=(40, features))
        assert np.allclose(ours.feature_log_prob, theirs.feature_log_prob_, rtol=1e-12)
        assert np.allclose(ours.class_log_prior, theirs.class_log_prior_, rtol=1e-12)
        assert np.allclose(ours.joint_log_probability(new), theirs.predict_joint_log_proba(new), rtol=1e-12)
        assert np.allclose(ours.predict_log_proba(new), theirs.predict_log_proba(new), rtol=1e-9, atol=1e-12)
        assert np.array_equal(ours.predict(new), theirs.predict(new))


# Keras


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras")


def test_values_of_penalties(keras):
    w = np.random.default_rng(3).normal(size=(4, 5)).astype("float32")
    assert r.L1(0.3).value(w) == pytest.approx(float(keras.regularizers.L1(0.3)(w)), rel=1e-6)
    assert r.L2(2 * 0.3).value(w) == pytest.approx(float(keras.regularizers.L2(0.3)(w)), rel=1e-6)


@pytest.mark.parametrize("amount", [0.0, 0.1, 0.4])
def test_label_smoothing(keras, amount):
    rng = np.random.default_rng(1)
    targets, logits = np.eye(5)[rng.integers(0, 5, size=20)], rng.normal(size=(20, 5))
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    ours = -np.mean(np.sum(r.label_smoothing(targets, amount) * logs, axis=1))
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=amount)
    assert ours == pytest.approx(float(loss(targets, logits)), rel=1e-6)


def test_a_moving_average(keras):
    rng = np.random.default_rng(2)
    variable = keras.Variable(rng.normal(size=3).astype("float32"))
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9)
    ema = r.ExponentialMovingAverage(0.9)
    for _ in range(6):
        optimizer.apply([keras.ops.convert_to_tensor(rng.normal(size=3).astype("float32"))], [variable])
        ema.update(keras.ops.convert_to_numpy(variable.value))
    (theirs,) = optimizer._model_variables_moving_average
    assert np.allclose(ema.average, keras.ops.convert_to_numpy(theirs), atol=1e-6)


class FakeModel:
    """What keras.callbacks.EarlyStopping asks of a model: weights, here the number of the epoch."""

    def __init__(self):
        self.stop_training, self.weights = False, None

    def get_weights(self):
        return self.weights

    def set_weights(self, weights):
        self.weights = weights


@pytest.mark.parametrize("patience", [0, 1, 2, 4])
@pytest.mark.parametrize("min_delta", [0.0, 0.05])
def test_early_stopping(keras, patience, min_delta):
    rng = np.random.default_rng(patience)
    stops = set()
    for _ in range(60):
        losses = np.cumsum(rng.normal(-0.03, 0.1, size=12)) + 3
        if rng.random() < 0.2:
            losses[rng.integers(1, 4)] = np.nan
        losses = np.round(losses, 1) if rng.random() < 0.3 else losses  # ties
        model = FakeModel()
        callback = keras.callbacks.EarlyStopping(
            monitor="val_loss", mode="min", patience=patience, min_delta=min_delta, restore_best_weights=True
        )
        callback.set_model(model)
        callback.on_train_begin()
        ours = r.EarlyStopping(patience, min_delta)
        for epoch, loss in enumerate(losses):
            model.weights = [epoch]
            callback.on_epoch_end(epoch, {"val_loss": loss})
            ended = ours.update(loss, np.array(float(epoch)))
            assert ended == model.stop_training
            if ended:
                break
        callback.on_train_end()
        assert model.weights == [float(ours.best_params)]
        assert ours.best_epoch == callback.best_epoch
        assert (ours.stopped_epoch or 0) == callback.stopped_epoch
        stops.add(ours.stopped_epoch)
    assert len(stops) > 2


def test_the_one_rule_that_differs(keras):
    model, ours = FakeModel(), r.EarlyStopping(patience=1)
    callback = keras.callbacks.EarlyStopping(monitor="val_loss", mode="min", patience=1)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, loss in enumerate((np.nan, 2.0)):  # after a NaN at the start nothing is an improvement there
        callback.on_epoch_end(epoch, {"val_loss": loss})
        ended = ours.update(loss)
    assert model.stop_training
    assert not ended
    assert ours.best == 2.0
