"""The log of a run: a view of its History that grows with it.

When a run is taken up, its log is written again from the History in the checkpoint. So rows that a killed run wrote
after its last checkpoint are gone, and the file is the one of a run that never stopped.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from course_lib.training import _backend
from course_lib.training.history import Row

__all__ = ["Log", "open_log"]


class Log(Protocol):
    """What takes the rows of a run."""

    def write(self, row: Row) -> None:
        """Add a row."""

    def close(self) -> None:
        """Finish the file."""


class CsvLog:
    """``log.csv``: a row an update; the columns of the validation data are empty where it was not looked at."""

    def __init__(self, folder: Path, rows: Sequence[Row], validated: bool) -> None:
        self.file = (folder / "log.csv").open("w", newline="", encoding="utf-8")
        self.validated = validated
        self.writer: Any = None
        for row in rows:
            self.write(row)

    def write(self, row: Row) -> None:
        if self.writer is None:
            names = [name for name in row if not name.startswith("val_")]
            looks = [f"val_{name}" for name in names if name not in ("step", "rate")] if self.validated else []
            self.writer = csv.DictWriter(self.file, names + looks)
            self.writer.writeheader()
        self.writer.writerow(row)  # numbers as repr writes them: all their digits
        self.file.flush()

    def close(self) -> None:
        self.file.close()


class TensorBoardLog:
    """``tensorboard/``: one file of scalars."""

    def __init__(self, folder: Path, rows: Sequence[Row]) -> None:
        where = folder / "tensorboard"
        where.mkdir(exist_ok=True)
        for old in where.glob("events.out.tfevents.*"):
            old.unlink()
        self.file = _backend.EventFile(str(where / f"events.out.tfevents.{int(time.time())}.run"))
        for row in rows:
            self.write(row)

    def write(self, row: Row) -> None:
        self.file.write(row["step"], {name: value for name, value in row.items() if name != "step"}, time.time())

    def close(self) -> None:
        self.file.close()


class NoLog:
    """Nothing."""

    def write(self, row: Row) -> None:
        pass

    def close(self) -> None:
        pass


def open_log(kind: str | None, folder: Path | None, rows: Sequence[Row], validated: bool) -> Log:
    """Start a log with the rows of a run so far."""
    if kind is None or folder is None:
        return NoLog()
    folder.mkdir(parents=True, exist_ok=True)
    return CsvLog(folder, rows, validated) if kind == "csv" else TensorBoardLog(folder, rows)
