"""What chapter 01 defines against what course_lib ships."""

from course_lib.evaluation.footprint import TransformerShape, transformer_parameters
from course_lib.evaluation.roofline import roofline


def check_gpt_parameters(gpt_parameters, rng):
    layers, heads, vocabulary, positions = (int(n) for n in rng.integers(1, 60, size=4))
    width = heads * int(rng.integers(1, 50))
    shape = TransformerShape(layers, width, heads, vocabulary, positions=positions)
    assert gpt_parameters(layers, width, vocabulary, positions) == transformer_parameters(shape)


def check_roofline(notebook_roofline, rng):
    peak, bandwidth, intensity = rng.uniform(0.1, 100, size=3)
    assert notebook_roofline(peak, bandwidth, intensity) == roofline(peak, bandwidth, intensity)
