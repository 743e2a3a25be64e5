"""Checkpoints on disk that are whole or absent, whenever the program or the machine stops.

A checkpoint is a folder of three files: ``state.npz`` (arrays), ``about.json`` (what they belong to) and ``SHA256SUMS``
(their hashes, as ``sha256sum -c`` reads them). It is written under another name, forced to the disk, and renamed. A
rename happens entirely or not at all, so a folder called ``checkpoint-...`` was finished; and the hashes show if the
disk changed it later.

>>> import tempfile
>>> folder = Path(tempfile.mkdtemp())
>>> for step in (10, 20, 30):
...     _ = write(folder, step, {"w": np.full(2, step)}, {"model": "line"}, keep=2)
>>> [path.name for path in paths(folder)]
['checkpoint-00000020', 'checkpoint-00000030']
>>> last = latest(folder)
>>> last.step, last.arrays["w"], last.about
(30, array([30, 30]), {'model': 'line'})

A damaged file is found, and the checkpoint before it is taken:

>>> with (last.path / "state.npz").open("r+b") as file:
...     _ = file.seek(100), file.write(b"?")
>>> import warnings
>>> with warnings.catch_warnings(record=True) as caught:
...     latest(folder).step
20
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from course_lib import _check

__all__ = ["Checkpoint", "latest", "paths", "read", "write"]

STATE, ABOUT, SUMS = "state.npz", "about.json", "SHA256SUMS"
PREFIX, UNFINISHED = "checkpoint-", "unfinished-"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint that was read and found whole.

    Attributes
    ----------
    step : int
        After how many updates it was written.
    arrays : dict of str to ndarray
        The state.
    about : dict
        What was written beside it.
    path : Path
        Its folder.
    """

    step: int
    arrays: dict[str, np.ndarray]
    about: dict[str, Any]
    path: Path


def write(
    folder: str | Path, step: int, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any], keep: int = 2
) -> Path:
    """Write a checkpoint, entirely or not at all, and then remove the oldest.

    Parameters
    ----------
    folder : str or Path
        Where the checkpoints of a run stand; made if it is absent.
    step : int
        After how many updates.
    arrays : mapping of str to ndarray
        The state. No objects: nothing here is ever pickled.
    about : mapping
        What JSON can hold.
    keep : int
        How many to keep, this one included.

    Returns
    -------
    Path
        The folder of the checkpoint.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range, or an array holds objects.
    """
    _check.count("step", step, least=0)
    _check.count("keep", keep)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{UNFINISHED}*"):  # by a run that was killed while it wrote
        shutil.rmtree(left)
    final, work = folder / f"{PREFIX}{step:08d}", folder / f"{UNFINISHED}{step:08d}"
    work.mkdir()
    with (work / STATE).open("wb") as file:
        np.savez(file, allow_pickle=False, **{name: np.asarray(array) for name, array in arrays.items()})
        _to_disk(file)
    with (work / ABOUT).open("w", encoding="utf-8") as text:
        json.dump(about, text, indent=1)
        _to_disk(text)
    with (work / SUMS).open("w", encoding="utf-8") as text:
        text.writelines(f"{_sha256(work / name)}  {name}\n" for name in (STATE, ABOUT))
        _to_disk(text)
    _folder_to_disk(work)
    if final.exists():  # one that was found damaged, or it would have been taken up
        shutil.rmtree(final)
    work.rename(final)
    _folder_to_disk(folder)
    for old in paths(folder)[:-keep]:
        shutil.rmtree(old)
    return final


def paths(folder: str | Path) -> list[Path]:
    """List the folders of all finished checkpoints, the oldest first."""
    return sorted(path for path in Path(folder).glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdigit())


def read(path: str | Path) -> Checkpoint:
    """Read one checkpoint after checking its hashes.

    Parameters
    ----------
    path : str or Path
        Its folder.

    Returns
    -------
    Checkpoint

    Raises
    ------
    ValueError
        If a file is missing, or is not what was written; the text names it.
    """
    path = Path(path)
    try:
        lines = (path / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ValueError(f"{path / SUMS} cannot be read: {error}") from None
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for name in (STATE, ABOUT):
        if not (path / name).is_file():
            raise ValueError(f"{path / name} is missing")
        if _sha256(path / name) != sums.get(name):
            raise ValueError(f"{path / name} is damaged: its SHA-256 is not the one in {SUMS}")
    with np.load(path / STATE, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    about = json.loads((path / ABOUT).read_text(encoding="utf-8"))
    return Checkpoint(int(path.name.removeprefix(PREFIX)), arrays, about, path)


def latest(folder: str | Path) -> Checkpoint | None:
    """Read the last checkpoint that is whole.

    Parameters
    ----------
    folder : str or Path
        Where the checkpoints of a run stand.

    Returns
    -------
    Checkpoint or None
        None if there is no checkpoint.

    Warns
    -----
    UserWarning
        For each later one that is damaged; the text names the file.

    Raises
    ------
    ValueError
        If there are checkpoints, and all are damaged.
    """
    found = paths(folder)
    for path in reversed(found):
        try:
            return read(path)
        except ValueError as error:
            warnings.warn(f"{error}; the checkpoint before it is tried", stacklevel=2)
    if found:
        raise ValueError(f"all {len(found)} checkpoints in {folder} are damaged; remove them to start the run again")
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _to_disk(file: Any) -> None:
    """Wait until what was written has left the system's memory."""
    file.flush()
    os.fsync(file.fileno())


def _folder_to_disk(folder: Path) -> None:
    """Wait for a folder's list of names too; Windows has no such call, and needs none."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
