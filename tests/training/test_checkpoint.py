"""Checkpoints: whole or absent, kept and removed, checked by hash, never pickled."""

import os
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest

from course_lib.training.checkpoint import latest, paths, read, write

ARRAYS = {
    "model/0": np.array([[1.5, np.nan], [-0.0, 1e-300]]),
    "model/1": np.float32(3),
    "seed": np.array([7, 2**32 - 1], "uint32"),
    "empty": np.zeros((0, 3)),
}


def test_what_is_written_is_read_bit_for_bit(tmp_path):
    path = write(tmp_path / "a" / "b", 12, ARRAYS, {"recipe": {"rate": 0.1}, "text": "é"})
    found = latest(tmp_path / "a" / "b")
    assert (found.step, found.path, found.about) == (12, path, {"recipe": {"rate": 0.1}, "text": "é"})
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found.arrays[name].dtype == array.dtype
        assert found.arrays[name].tobytes() == array.tobytes()
        assert found.arrays[name].shape == array.shape


def test_sha256sum_reads_the_sums(tmp_path):
    path = write(tmp_path, 1, ARRAYS, {})
    assert subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=path, capture_output=True).returncode == 0


def test_the_last_ones_are_kept(tmp_path):
    for step in (9, 10, 100, 1000):
        write(tmp_path, step, ARRAYS, {}, keep=3)
    assert [path.name for path in paths(tmp_path)] == [f"checkpoint-{step:08d}" for step in (10, 100, 1000)]
    write(tmp_path, 1001, ARRAYS, {}, keep=1)
    assert [read(path).step for path in paths(tmp_path)] == [1001]


@pytest.mark.parametrize("name", ["state.npz", "about.json", "SHA256SUMS"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "empty"])
def test_a_damaged_file_is_named_and_the_one_before_taken(tmp_path, name, damage):
    write(tmp_path, 1, ARRAYS, {"is": "first"})
    file = write(tmp_path, 2, ARRAYS, {"is": "second"}) / name
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        middle = len(content) // 2
        changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        file.write_bytes({"cut": content[:middle], "changed": changed, "empty": b""}[damage])
    with pytest.warns(
        UserWarning, match=r"checkpoint-00000002/(state\.npz|about\.json|SHA256SUMS) .*the checkpoint be"
    ):
        found = latest(tmp_path)
    assert (found.step, found.about) == (1, {"is": "first"})
    write(tmp_path, 2, ARRAYS, {"is": "again"})  # the damaged one gives way
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert latest(tmp_path).about == {"is": "again"}


def test_all_damaged_is_an_error_and_none_is_none(tmp_path):
    assert latest(tmp_path) is None
    assert latest(tmp_path / "absent") is None
    (write(tmp_path, 1, ARRAYS, {}) / "state.npz").unlink()
    with (
        pytest.warns(UserWarning, match="is missing"),
        pytest.raises(ValueError, match=r"all 1 checkpoints in .* are damaged"),
    ):
        latest(tmp_path)


def test_what_was_not_finished_is_not_seen_and_removed(tmp_path):
    left = tmp_path / "unfinished-00000005"
    left.mkdir()
    (left / "state.npz").write_bytes(b"PK")
    (tmp_path / "checkpoint-notes").mkdir()  # not ours
    assert latest(tmp_path) is None
    write(tmp_path, 6, ARRAYS, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-00000006", "checkpoint-notes"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux tells which file a number belongs to")
def test_the_folder_has_its_name_only_when_all_is_on_the_disk(tmp_path, monkeypatch):
    """Every file, and the folder of their names, is forced to the disk before the rename, and the rename after it."""
    events = []

    def fsync(descriptor, original=os.fsync):
        events.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        original(descriptor)

    def rename(self, target, original=Path.rename):
        events.append(f"rename to {Path(target).name}")
        return original(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    folder = tmp_path / "run"
    write(folder, 3, ARRAYS, {})
    assert events == [
        "state.npz", "about.json", "SHA256SUMS", "unfinished-00000003", "rename to checkpoint-00000003", "run"
    ]  # fmt: skip


def test_objects_are_refused(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle=False"):
        write(tmp_path, 1, {"x": np.array([object()])}, {})
    assert paths(tmp_path) == []
    with pytest.raises(ValueError, match="step is -1"):
        write(tmp_path, -1, ARRAYS, {})
    with pytest.raises(ValueError, match="keep is 0"):
        write(tmp_path, 1, ARRAYS, {}, keep=0)
