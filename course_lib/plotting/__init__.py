"""Figures in the house style, and the words that say what they show."""

from course_lib.plotting.figures import (
    COLORS,
    MARKERS,
    end_labels,
    error_band,
    level_sets,
    new_figure,
    path_on_levels,
    reference_slope,
    show,
)

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
