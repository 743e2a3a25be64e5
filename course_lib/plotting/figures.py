"""The house style: one message a figure, readable on a phone, safe for colour-blind readers, described in words.

Figures are five inches wide with 11-point text, so that a phone, which shows them about 360 pixels wide, shows letters
of about 11 pixels. Curves differ in colour and in line style, because neither alone is safe.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = [
    "COLORS",
    "MARKERS",
    "end_labels",
    "error_band",
    "level_sets",
    "new_figure",
    "path_on_levels",
    "reference_slope",
    "show",
]

# M. Okabe, K. Ito, 2008, "Color Universal Design", https://jfly.uni-koeln.de/color/ ; its yellow, too pale for lines on
# white, is left out, and its order is changed so that neighbours differ in lightness too.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#000000", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LINES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.2, 1.2, 1.2)), "-", (0, (5, 1.5)), (0, (1.2, 1.2)))

_STYLE: Any = {
    "axes.prop_cycle": cycler(color=list(COLORS)) + cycler(linestyle=list(_LINES)),
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.labelsize": 11,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "font.size": 11,
    "grid.alpha": 0.3,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
}


def new_figure(rows: int = 1, columns: int = 1, *, height: float = 3.4, **axes: Any) -> tuple[Figure, Any]:
    """Open a figure in the house style.

    Parameters
    ----------
    rows, columns : int
        The grid of panels. More than two columns are unreadable on a phone: use rows.
    height : float
        Height of one row in inches; the width is 5 inches for one column and 7.2 for two.
    **axes : object
        Properties of every panel, as ``Axes.set`` takes them: ``xlabel="step"``, ``yscale="log"``, ``title=...``.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : matplotlib.axes.Axes or ndarray of them
        One panel, or an array of shape (panels,) for one row or column, else (rows, columns).

    Raises
    ------
    ValueError
        If more than two columns are asked for.
    """
    if not 1 <= columns <= 2:
        raise ValueError(f"columns is {columns!r}; allowed are 1 and 2, so that a phone can show the figure")
    mpl.rcParams.update(_STYLE)  # not only for this call: lines read their width when they are drawn, later
    figure, panels = plt.subplots(rows, columns, figsize=(5.0 if columns == 1 else 7.2, height * rows))
    for panel in np.ravel(panels):
        panel.set(**axes)
    return figure, panels


def show(figure: Figure, alt: str) -> None:
    """Display a figure with a text that says what it shows, and close it.

    The text travels with the picture: notebooks that cannot show pictures print it, and the built site gives it to
    screen readers. Build it from measured values where it names any.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure; it is closed afterwards.
    alt : str
        What a reader who cannot see the figure should learn from it: the axes, the curves and the message, in at least
        40 characters.

    Raises
    ------
    ValueError
        If `alt` is too short to say that.
    """
    text = " ".join(str(alt).split())
    if len(text) < 40:
        raise ValueError(f"alt is {text!r}; it must say what the figure shows in at least 40 characters")
    picture = io.BytesIO()
    # Without the version of matplotlib in it, the same figure gives the same bytes.
    figure.savefig(picture, format="png", dpi=160, metadata={"Software": None})
    plt.close(figure)
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:  # a plain Python without Jupyter
        print(text)
        return
    if get_ipython() is None:
        print(text)
        return
    data = {"image/png": base64.b64encode(picture.getvalue()).decode(), "text/plain": text}
    display(data, raw=True, metadata={"image/png": {"alt": text}})


def end_labels(axes: Axes, *, gap: float = 0.055) -> None:
    """Write each labelled curve's name beside its end, in its colour, in place of a legend.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        The panel; scales and any limits of its own must be set before.
    gap : float
        The least vertical distance between two names, as a share of the panel's height.
    """
    axes.autoscale_view()  # otherwise limits that nobody set are not known before the figure is drawn
    ends = []
    for line in axes.get_lines():
        x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
        good = np.isfinite(x) & np.isfinite(y)
        if str(line.get_label()).startswith("_") or not good.any():
            continue
        place = axes.transAxes.inverted().transform(axes.transData.transform((x[good][-1], y[good][-1])))
        ends.append((float(np.clip(place[1], 0, 1)), line))
    ends.sort(key=lambda pair: pair[0])
    heights: list[float] = []
    for height, _ in ends:
        heights.append(max(height, heights[-1] + gap) if heights else height)
    overflow = heights[-1] - 1 if heights else 0  # names pushed off the top move down together
    for height, (_, line) in zip(heights, ends, strict=True):
        axes.annotate(
            str(line.get_label()),
            (1.01, height - max(0, overflow)),
            xycoords="axes fraction",
            color=line.get_color(),
            va="center",
            fontsize=10,
        )


def error_band(axes: Axes, x: Any, runs: Any, label: str, **line: Any) -> None:
    """Draw the median over repeated runs as a curve and their full range as a band.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        The panel.
    x : array_like, shape (points,)
        Where the runs were measured.
    runs : array_like, shape (runs, points)
        One row a run.
    label : str
        The curve's name.
    **line : object
        Passed on to ``Axes.plot``.

    Raises
    ------
    ValueError
        If `runs` does not have one column per point of `x`.
    """
    runs = np.asarray(runs, float)
    if runs.ndim != 2 or runs.shape[1] != len(x):
        raise ValueError(f"runs has shape {runs.shape}; it must be (runs, {len(x)}), one column per point of x")
    (curve,) = axes.plot(x, np.median(runs, axis=0), label=label, **line)
    axes.fill_between(x, runs.min(axis=0), runs.max(axis=0), color=curve.get_color(), alpha=0.18, linewidth=0)


def level_sets(
    axes: Axes, value: Callable[[np.ndarray], Any], x: tuple[float, float], y: tuple[float, float], levels: int = 12
) -> None:
    """Draw the level sets of a function of two variables, closer together towards its minimum.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        The panel.
    value : callable
        Takes a point of shape (2,) and gives a number.
    x, y : tuple of two floats
        The ranges.
    levels : int
        How many lines.
    """
    xs, ys = np.linspace(*x, 121), np.linspace(*y, 121)
    z = np.array([[float(value(np.array([a, b]))) for a in xs] for b in ys])
    low, high = z.min(), z.max()
    # Cubic spacing shows the floor of the valley, where descent spends its time.
    steps = low + (high - low) * np.linspace(0.02, 1, levels) ** 3
    axes.contour(xs, ys, z, levels=steps, colors="0.72", linewidths=0.8)
    axes.set(xlim=x, ylim=y, xlabel="$w_1$", ylabel="$w_2$")
    axes.grid(visible=False)


def path_on_levels(axes: Axes, points: Any, label: str, color: str = COLORS[0], marker: str = "o") -> None:
    """Draw the path of a descent over level sets, its start marked by a ring and its end by a star.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        The panel.
    points : array_like, shape (steps, 2)
        The parameters after each step.
    label : str
        The path's name.
    color, marker : str
        As in matplotlib.

    Raises
    ------
    ValueError
        If `points` is not of shape (steps, 2).
    """
    points = np.asarray(points, float)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"points has shape {points.shape}; it must be (steps, 2)")
    axes.plot(*points.T, color=color, marker=marker, markersize=3, linewidth=1.2, linestyle="-", label=label)
    axes.plot(*points[0], marker="o", markersize=9, markerfacecolor="none", color=color, linestyle="none")
    axes.plot(*points[-1], marker="*", markersize=11, color=color, linestyle="none")


def reference_slope(axes: Axes, x: Sequence[float], y0: float, power: float, label: str) -> None:
    """Draw a grey line ``y0 * (x / x[0]) ** power`` to compare a measured power law with.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        The panel, with two logarithmic axes.
    x : sequence of float
        Where to draw; positive.
    y0 : float
        The value at ``x[0]``.
    power : float
        The exponent, which is the slope on logarithmic axes.
    label : str
        The line's name.
    """
    xs = np.asarray(x, float)
    axes.plot(xs, y0 * (xs / xs[0]) ** power, color="0.45", linewidth=1, linestyle="--", label=label)
