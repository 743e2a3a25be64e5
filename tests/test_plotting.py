"""course_lib.plotting: figures carry their words, fit a phone, and refuse what would not."""

import base64
import io
import struct
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from course_lib import plotting

mpl.use("agg")
ALT = "A straight line rises from the lower left to the upper right of the panel."


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def linear_rgb(color):
    channels = np.array(mpl.colors.to_rgb(color))
    return np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def relative_luminance(color):
    return float(linear_rgb(color) @ [0.2126, 0.7152, 0.0722])


def seen_with(kind, color):
    """Simulate a missing cone type: Machado, Oliveira, Fernandes 2009, doi:10.1109/TVCG.2009.113, severity 1."""
    matrices = {
        "protanopia": [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        "deuteranopia": [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.01182, 0.04294, 0.968881],
        ],
        "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
    }
    seen = np.clip(np.array(matrices[kind]) @ linear_rgb(color), 0, 1)
    return np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("kind", ["protanopia", "deuteranopia", "tritanopia"])
def test_neighbouring_colours_stay_apart_for_colour_blind_readers(kind):
    for a, b in pairwise(plotting.COLORS):
        assert np.linalg.norm(seen_with(kind, a) - seen_with(kind, b)) > 0.25, (a, b)


def test_every_colour_is_visible_on_white():
    # WCAG 2.2 asks 3:1 for graphics; the two palest come last, for the rare sixth and seventh curve.
    for color in plotting.COLORS[:4]:
        assert 1.05 / (relative_luminance(color) + 0.05) > 2.9, color


def test_curves_differ_in_line_style_too():
    _, axes = plotting.new_figure()
    lines = [axes.plot([0, 1], [i, i])[0] for i in range(4)]
    assert len({str(line._dash_pattern) for line in lines}) == 4


def test_text_is_readable_at_phone_width():
    figure, axes = plotting.new_figure(xlabel="step", ylabel="loss", title="A title")
    points_wide = figure.get_size_inches()[0] * 72
    for text in (axes.xaxis.label, axes.yaxis.label, axes.title, *axes.get_xticklabels()):
        assert text.get_fontsize() * 360 / points_wide >= 9.5  # pixels on a phone that shows it 360 wide


def test_new_figure_sets_every_panel():
    _, panels = plotting.new_figure(rows=2, xlabel="step", yscale="log")
    assert [p.get_xlabel() for p in panels] == ["step", "step"]
    assert {p.get_yscale() for p in panels} == {"log"}


@pytest.mark.parametrize("columns", [0, 3])
def test_too_many_columns_are_refused(columns):
    with pytest.raises(ValueError, match=f"columns is {columns}; allowed are 1 and 2"):
        plotting.new_figure(columns=columns)


def test_show_publishes_picture_words_and_alt(monkeypatch):
    import IPython
    import IPython.display

    published = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    monkeypatch.setattr(IPython.display, "display", lambda data, **kw: published.append((data, kw)))
    figure, axes = plotting.new_figure()
    axes.plot([0, 1])
    plotting.show(figure, alt=ALT + "\n  And   so on.")
    ((data, options),) = published
    assert data["text/plain"] == ALT + " And so on."
    assert options == {"raw": True, "metadata": {"image/png": {"alt": data["text/plain"]}}}
    picture = base64.b64decode(data["image/png"])
    width, _ = struct.unpack(">II", picture[16:24])
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert width == 800
    assert not plt.fignum_exists(figure.number)


def test_the_same_figure_gives_the_same_bytes():
    def render():
        figure, axes = plotting.new_figure()
        axes.plot([0, 1])
        out = io.BytesIO()
        figure.savefig(out, format="png", metadata={"Software": None})
        return out.getvalue()

    assert render() == render()


def test_show_outside_jupyter_prints_the_words(capsys):
    figure, _ = plotting.new_figure()
    plotting.show(figure, alt=ALT)
    assert capsys.readouterr().out.strip() == ALT


@pytest.mark.parametrize("alt", ["", "a plot", None])
def test_alt_that_says_nothing_is_refused(alt):
    figure, _ = plotting.new_figure()
    with pytest.raises(ValueError, match="at least 40 characters"):
        plotting.show(figure, alt=alt)


def test_end_labels_do_not_overlap_and_keep_the_order():
    figure, axes = plotting.new_figure(xlim=(0, 1), ylim=(0, 1))
    for i, end in enumerate([0.5, 0.51, 0.52, 0.99, 1.0]):
        axes.plot([0, 1], [0, end], label=f"curve {i}")
    axes.plot([0, 1], [0, 0.2])  # no name, no label
    plotting.end_labels(axes)
    figure.canvas.draw()
    heights = [t.xy[1] for t in axes.texts]
    assert [t.get_text() for t in axes.texts] == [f"curve {i}" for i in range(5)]
    assert min(np.diff(heights)) > 0.05
    boxes = [t.get_window_extent() for t in axes.texts]
    assert all(a.y1 <= b.y0 + 1 for a, b in pairwise(boxes))
    right = figure.get_size_inches()[0] * figure.dpi
    assert all(box.x1 <= right for box in boxes)


def test_end_labels_know_limits_that_nobody_set():
    _, axes = plotting.new_figure()
    for end in (100, 900):
        axes.plot([0, 50], [0, end], label=str(end))
    plotting.end_labels(axes)
    low, high = (t.xy[1] for t in axes.texts)
    assert high - low > 0.5
    assert high < 1


def test_error_band_shows_median_and_full_range():
    _, axes = plotting.new_figure()
    runs = np.array([[0.0, 1.0, 2.0], [1.0, 3.0, 5.0], [2.0, 8.0, 5.5]])
    plotting.error_band(axes, [1, 2, 3], runs, "runs")
    np.testing.assert_array_equal(axes.get_lines()[0].get_ydata(), [1, 3, 5])
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices
    assert (corners[:, 1].min(), corners[:, 1].max()) == (0, 8)
    with pytest.raises(ValueError, match=r"runs has shape \(3, 3\); it must be \(runs, 2\)"):
        plotting.error_band(axes, [1, 2], runs, "runs")


def test_paths_and_levels():
    _, axes = plotting.new_figure()
    plotting.level_sets(axes, lambda w: w @ w, (-1, 1), (-2, 2))
    plotting.path_on_levels(axes, [[0.5, 0.5], [0.2, 0.1], [0, 0]], "descent")
    assert axes.get_xlim() == (-1, 1)
    assert axes.get_ylim() == (-2, 2)
    with pytest.raises(ValueError, match=r"points has shape \(3,\)"):
        plotting.path_on_levels(axes, [1, 2, 3], "descent")


def test_reference_slope_is_the_power_law():
    _, axes = plotting.new_figure(xscale="log", yscale="log")
    plotting.reference_slope(axes, [1, 10, 100], 5.0, -0.5, "1/sqrt")
    x, y = axes.get_lines()[0].get_data()
    np.testing.assert_allclose(y, 5 * np.array(x) ** -0.5)
