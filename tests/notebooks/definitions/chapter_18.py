"""Chapter 18's definitions against those of the package."""

import numpy as np

from course_lib.data.ai4i import failure_modes
from course_lib.evaluation import prognostics


def check_nasa_score(notebook, rng):
    true, said = rng.uniform(0, 125, (2, 40))
    assert abs(notebook(true, said) / prognostics.nasa_score(true, said) - 1) < 1e-12


def check_failure_rules(notebook, rng):
    quality = rng.integers(3, size=4000)
    low, high = [295, 303, 1200, 5, 0], [305, 316, 2500, 75, 250]
    measurements = rng.uniform(low, high, (4000, 5))
    expected = failure_modes(quality, measurements)
    assert np.array_equal(notebook(quality, measurements), expected)
    assert (expected.sum(axis=0) > 10).all()  # every rule fires
