"""Intervals: against SciPy on the same resamples, against exact coverage, and against simulated data."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from course_lib.evaluation import intervals as iv
from course_lib.evaluation.metrics import accuracy, f1

quick = settings(deadline=None, max_examples=25)
STATISTICS = {
    "mean": (lambda x: np.mean(x), 1),
    "variance": (lambda x: np.var(x), 1),
    "correlation": (lambda x, y: np.corrcoef(x, y)[0, 1], 2),
    "ratio": (lambda x, y: np.sum(x) / np.sum(np.abs(y)), 2),
}


class Kept:
    """What SciPy adds resamples to: with none added, it works on ours."""

    def __init__(self, values):
        self.bootstrap_distribution = values


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("method", ["percentile", "basic", "bca"])
@quick
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(8, 40), level=st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_equal_to_scipy_on_the_same_resamples(name, method, seed, n, level):
    statistic, arguments = STATISTICS[name]
    rng = np.random.default_rng(seed)
    data = tuple(rng.exponential(size=n) for _ in range(arguments))
    ours = iv.bootstrap_interval(statistic, *data, level=level, repeats=60, method=method, rng=seed)
    values = iv.bootstrap_distribution(statistic, *data, repeats=60, rng=seed)
    peer = stats.bootstrap(
        data, statistic, n_resamples=0, confidence_level=level, method=method, vectorized=False,
        paired=arguments > 1, bootstrap_result=Kept(values),
    ).confidence_interval  # fmt: skip
    assert (ours.low, ours.high) == pytest.approx((peer.low, peer.high), rel=1e-9, abs=1e-12)
    assert ours.estimate == pytest.approx(float(statistic(*data)))
    assert (ours.level, ours.method) == (level, method)


def test_resamples_are_distributed_as_scipys():
    """Of the mean: normal, with the plug-in spread; two samples of it agree in distribution."""
    x = np.random.default_rng(0).exponential(size=40)
    ours = iv.bootstrap_distribution(np.mean, x, repeats=4000, rng=1)
    peer = stats.bootstrap((x,), np.mean, n_resamples=4000, method="percentile", rng=2).bootstrap_distribution
    assert stats.ks_2samp(ours, peer).pvalue > 1e-4
    assert np.std(ours) == pytest.approx(np.std(x) / math.sqrt(40), rel=0.06)


def test_rows_stay_together():
    x = np.arange(30.0)
    values = iv.bootstrap_distribution(lambda a, b: np.max(np.abs(b - 2 * a)), x, 2 * x, repeats=20, rng=0)
    assert (values == 0).all()


def test_resampling_is_with_replacement():
    """A sample of n holds about 1 - 1/e of the n examples."""
    shares = iv.bootstrap_distribution(lambda x: len(np.unique(x)) / len(x), np.arange(500), repeats=100, rng=0)
    assert np.mean(shares) == pytest.approx(1 - math.exp(-1), abs=0.01)


def test_strata_keep_their_sizes():
    labels = np.array([0] * 27 + [1] * 3)
    counts = iv.bootstrap_distribution(np.sum, labels, repeats=50, strata=labels, rng=0)
    assert (counts == 3).all()
    assert len(set(iv.bootstrap_distribution(np.sum, labels, repeats=50, rng=0))) > 3
    rows = np.arange(30)
    values = iv.bootstrap_distribution(lambda r: np.max(r[labels[r] == 1]), rows, repeats=50, strata=labels, rng=0)
    assert set(values) == {27.0, 28.0, 29.0}


def test_the_seed_decides():
    x = np.random.default_rng(0).normal(size=20)
    first, again = (iv.bootstrap_distribution(np.mean, x, repeats=5, rng=3) for _ in range(2))
    assert (first == again).all()
    assert (first != iv.bootstrap_distribution(np.mean, x, repeats=5, rng=4)).any()
    generator = np.random.default_rng(3)
    assert (first == iv.bootstrap_distribution(np.mean, x, repeats=5, rng=generator)).all()
    default, same = (iv.bootstrap_distribution(np.mean, x, repeats=5) for _ in range(2))
    assert (default == same).all()


@pytest.mark.parametrize("method", ["percentile", "basic", "bca"])
def test_coverage_of_the_mean(method):
    """A tenth more or less than the level leaves room for the small sample and for 300 data sets."""
    rng = np.random.default_rng(0)
    hits = sum(
        1.0 in iv.bootstrap_interval(np.mean, rng.exponential(size=60), level=0.9, repeats=200, method=method, rng=rng)
        for _ in range(300)
    )
    # 5 standard deviations of a binomial of 300 are 0.087; skewed data of 60 lose up to 0.03
    assert 0.9 - 0.12 < hits / 300 < 0.9 + 0.09


def test_bca_covers_better_where_the_percentile_is_biased():
    """The variance of few skewed examples: percentile intervals lie too low, BCa moves them up."""
    rng, ends = np.random.default_rng(1), []
    for _ in range(60):
        x = rng.exponential(size=25)
        ends.append(
            [iv.bootstrap_interval(np.var, x, repeats=300, method=k, rng=5).high for k in ("percentile", "bca")]
        )
    assert np.mean(np.array(ends)[:, 1] > np.array(ends)[:, 0]) > 0.9


def test_a_statistic_that_never_varies():
    for method in ("percentile", "basic", "bca"):
        interval = iv.bootstrap_interval(accuracy, [0, 1, 1], [0, 1, 1], repeats=30, method=method, rng=0)
        assert (interval.estimate, interval.low, interval.high, interval.width) == (1.0, 1.0, 1.0, 0.0)
    with pytest.raises(ValueError, match="one side of the estimate"):  # repeated values are never more different
        iv.bootstrap_interval(lambda x: len(np.unique(x)), np.arange(20), repeats=30, method="bca", rng=2)


def test_strata_enter_the_acceleration():
    """As SciPy's for two independent samples."""
    rng = np.random.default_rng(3)
    a, b = rng.exponential(size=12), rng.exponential(size=20) ** 2
    values, labels = np.r_[a, b], np.r_[np.zeros(12), np.ones(20)]

    def difference(x, label):
        return np.mean(x[label == 1]) - np.mean(x[label == 0])

    options = {"repeats": 400, "strata": labels, "rng": 8}
    ours = iv.bootstrap_interval(difference, values, labels, method="bca", **options)
    peer = stats.bootstrap(
        (a, b), lambda x, y: np.mean(y) - np.mean(x), n_resamples=0, method="bca", vectorized=False,
        bootstrap_result=Kept(iv.bootstrap_distribution(difference, values, labels, **options)),
    ).confidence_interval  # fmt: skip
    assert (ours.low, ours.high) == pytest.approx((peer.low, peer.high), rel=1e-9)


def test_paired_bootstrap_is_that_of_the_differences():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=200)
    a, b = (np.where(rng.random(200) < share, y, 1 - y) for share in (0.9, 0.8))
    ours = iv.paired_bootstrap(accuracy, y, a, b, repeats=300, rng=1)
    direct = iv.bootstrap_interval(np.mean, (a == y) * 1.0 - (b == y), repeats=300, rng=1)
    assert ours.estimate == pytest.approx(accuracy(y, a) - accuracy(y, b))
    assert (ours.low, ours.high) == pytest.approx((direct.low, direct.high), abs=1e-12)
    assert iv.paired_bootstrap(accuracy, y, b, a, repeats=300, rng=1).estimate == pytest.approx(-ours.estimate)


def test_pairing_gives_the_narrower_interval():
    """Where both models fail on the same examples."""
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=300)
    hard = rng.random(300) < 0.3
    a = np.where(hard, 1 - y, y)
    b = np.where(rng.random(300) < 0.03, 1 - a, a)
    paired = iv.paired_bootstrap(accuracy, y, a, b, repeats=500, rng=1)
    apart = [iv.bootstrap_interval(accuracy, y, p, repeats=500, rng=1) for p in (a, b)]
    assert paired.width < 0.6 * math.hypot(*(interval.width for interval in apart))


@quick
@given(n=st.integers(1, 2000), share=st.floats(0, 1), level=st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_wilson_equals_scipy(n, share, level):
    successes = round(n * share)
    ours = iv.wilson_interval(successes, n, level)
    peer = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((peer.low, peer.high), abs=1e-12)
    assert ours.low <= ours.estimate <= ours.high
    assert ours.estimate == successes / n


def test_wilson_ends_solve_the_equation_they_come_from():
    interval = iv.wilson_interval(7, 40, 0.9)
    z = stats.norm.ppf(0.95)
    for p in (interval.low, interval.high):
        assert abs(7 / 40 - p) == pytest.approx(z * math.sqrt(p * (1 - p) / 40), rel=1e-12)


def test_coverage_of_wilson_is_exact_to_a_few_percent():
    """No simulation: the probabilities of all outcomes are summed. The textbook interval p +- z se fails near 0."""
    n, p = 40, np.linspace(0.02, 0.98, 97)
    outcomes = stats.binom.pmf(np.arange(n + 1)[:, None], n, p)
    wilson = np.array([[q in iv.wilson_interval(k, n) for q in p] for k in range(n + 1)])
    share = np.arange(n + 1)[:, None] / n
    wald = np.abs(share - p) <= 1.96 * np.sqrt(share * (1 - share) / n)
    covered, textbook = np.sum(outcomes * wilson, axis=0), np.sum(outcomes * wald, axis=0)
    assert 0.94 < covered.mean() < 0.965
    assert covered.min() > 0.85
    assert textbook.min() < 0.6


def test_interval():
    interval = iv.Interval(0.5, 0.25, 0.75, 0.9, "basic")
    assert 0.25 in interval
    assert 0.76 not in interval
    assert interval.width == 0.5
    assert str(interval) == "0.500 (0.250 to 0.750, 90% basic)"


WRONG = [
    (lambda: iv.bootstrap_interval(np.mean, [1.0, 2.0], level=95), "level is 95; it must be above 0 and below 1"),
    (lambda: iv.bootstrap_interval(np.mean, [1.0, 2.0], level=0), "level is 0; it must be a finite number above 0"),
    (lambda: iv.bootstrap_interval(np.mean, [1.0, 2.0], method="normal"), "method is 'normal'; allowed are"),
    (lambda: iv.bootstrap_interval(np.mean, [1.0, 2.0], repeats=0), "repeats is 0"),
    (lambda: iv.bootstrap_interval(np.mean), "no array is given"),
    (lambda: iv.bootstrap_interval(np.mean, []), r"the arrays have \[0\] examples"),
    (lambda: iv.bootstrap_interval(np.mean, 3.0), r"the arrays have \[0\] examples"),
    (lambda: iv.bootstrap_interval(accuracy, [1, 2], [1]), r"the arrays have \[2, 1\] examples"),
    (lambda: iv.bootstrap_interval(np.abs, [1.0, 2.0]), "the statistic gave .* for the sample; it must give one"),
    (lambda: iv.bootstrap_interval(np.mean, [1.0, math.nan]), "the statistic gave .*nan.* for the sample"),
    (lambda: iv.bootstrap_distribution(np.mean, [1.0, math.nan], rng=0), "for a resample"),
    (lambda: iv.bootstrap_distribution(np.mean, [1.0, 2.0], strata=[1]), r"strata has shape \(1,\); it must be \(2,\)"),
    (lambda: iv.wilson_interval(5, 4), "successes is 5; it must be at most n, which is 4"),
    (lambda: iv.wilson_interval(-1, 4), "successes is -1"),
    (lambda: iv.wilson_interval(0, 0), "n is 0"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "text"), WRONG, ids=[text[:40] for _, text in WRONG])
def test_wrong_input_is_named(call, text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=text):
            call()


def test_metrics_with_their_options():
    y, p = np.tile([0, 0, 1], 40), np.tile([0, 1, 1], 40)
    interval = iv.bootstrap_interval(lambda t, q: f1(t, q, average="macro"), y, p, repeats=200, rng=0)
    assert interval.low < interval.estimate < interval.high
