"""Judging a model: metrics equal to scikit-learn's, intervals around them, and what a model costs, on NumPy alone.

Every public name of `metrics` and `intervals` can also be taken from here, as in
``from course_lib.evaluation import accuracy``; `costs` and `published` are modules of their own.
"""

from course_lib.evaluation.intervals import (
    Interval,
    bootstrap_distribution,
    bootstrap_interval,
    paired_bootstrap,
    wilson_interval,
)
from course_lib.evaluation.metrics import (
    accuracy,
    average_precision,
    balanced_accuracy,
    brier_score,
    confusion_matrix,
    expected_calibration_error,
    f1,
    fbeta,
    log_loss,
    matthews_correlation,
    mean_absolute_error,
    mean_squared_error,
    precision,
    precision_recall_curve,
    r2_score,
    recall,
    reliability_curve,
    roc_auc,
    roc_curve,
    top_k_accuracy,
)

__all__ = [
    "Interval",
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "bootstrap_distribution",
    "bootstrap_interval",
    "brier_score",
    "confusion_matrix",
    "expected_calibration_error",
    "f1",
    "fbeta",
    "log_loss",
    "matthews_correlation",
    "mean_absolute_error",
    "mean_squared_error",
    "paired_bootstrap",
    "precision",
    "precision_recall_curve",
    "r2_score",
    "recall",
    "reliability_curve",
    "roc_auc",
    "roc_curve",
    "top_k_accuracy",
    "wilson_interval",
]
