"""What a run measured, as arrays.

>>> rows = [{"step": 1, "loss": 2.0, "rate": 0.1}, {"step": 2, "loss": 1.5, "rate": 0.1, "val_loss": 1.75}]
>>> history = History.from_rows(rows)
>>> history.loss, history.validation_step, history.validation["loss"]
(array([2. , 1.5]), array([2]), array([1.75]))
>>> history.rows() == rows
True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["History"]

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class History:
    """The measurements of a run: one entry an update, and one entry a look at the validation data.

    Attributes
    ----------
    step : ndarray of int64, shape (updates,)
        1, 2, ...: how many updates were done.
    loss : ndarray of float64, shape (updates,)
        On the update's own batches, with the weights before it, with dropout.
    rate : ndarray of float64, shape (updates,)
        The learning rate of the update.
    metrics : dict of str to ndarray of float64, shape (updates,)
        The metrics that `train` was given, measured as the loss is.
    validation_step : ndarray of int64, shape (looks,)
        After how many updates the model was evaluated.
    validation : dict of str to ndarray of float64, shape (looks,)
        ``"loss"`` and the metrics on the validation data, without dropout.
    resumed_at : int
        After how many updates the last call of `train` took the run up; 0 if it started it.
    """

    step: np.ndarray
    loss: np.ndarray
    rate: np.ndarray
    metrics: dict[str, np.ndarray]
    validation_step: np.ndarray
    validation: dict[str, np.ndarray]
    resumed_at: int = 0

    @classmethod
    def from_rows(cls, rows: Sequence[Row], resumed_at: int = 0) -> History:
        """Make the arrays of rows such as `rows` gives; names that start with ``val_`` are of the validation data."""
        looks = [row for row in rows if "val_loss" in row]
        names = [name for name in (rows[0] if rows else ()) if not name.startswith("val_")]
        of_validation = [name for name in (looks[0] if looks else ()) if name.startswith("val_")]

        def column(name: str, rows: Sequence[Row], kind: str = "float64") -> np.ndarray:
            return np.array([row[name] for row in rows], kind)

        return cls(
            step=column("step", rows, "int64"),
            loss=column("loss", rows),
            rate=column("rate", rows),
            metrics={name: column(name, rows) for name in names if name not in ("step", "loss", "rate")},
            validation_step=column("step", looks, "int64"),
            validation={name.removeprefix("val_"): column(name, looks) for name in of_validation},
            resumed_at=resumed_at,
        )

    def rows(self) -> list[Row]:
        """Give one dict an update, as the log has them; those of an evaluation stand at its update."""
        rows: list[Row] = [
            {"step": int(step), "loss": float(self.loss[i]), "rate": float(self.rate[i])}
            | {name: float(values[i]) for name, values in self.metrics.items()}
            for i, step in enumerate(self.step)
        ]
        for i, step in enumerate(self.validation_step):
            rows[int(step) - 1] |= {f"val_{name}": float(values[i]) for name, values in self.validation.items()}
        return rows

    def __len__(self) -> int:
        """Count the updates."""
        return len(self.step)
