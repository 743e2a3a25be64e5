"""The files that hold weights: safetensors, whole or in parts, and Keras' HDF5. Nothing here runs what a file says.

A safetensors file is the length of its header (8 bytes), the header (JSON: each tensor's dtype, shape, and where it
starts and ends), and the numbers, without gaps. It is read by hand here, since the messages must say which tensor of
which file is damaged.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Stored", "read_hdf5", "read_json", "read_safetensors", "write_hdf5", "write_json", "write_safetensors"]

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1}
SIZES |= {"U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1}
FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class Stored:
    """A tensor in a file: its shape, its dtype, and the numbers once they are asked for.

    Parameters
    ----------
    path : Path
        The file.
    dtype : str
        As the file calls it.
    shape : tuple of int
    read : callable
        Reads the numbers.
    """

    def __init__(self, path: Path, dtype: str, shape: tuple[int, ...], read: Callable[[], np.ndarray]) -> None:
        self.path, self.dtype, self.shape, self.read = path, dtype, shape, read


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    return _object(path.read_bytes(), f"{path}")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write one JSON object, in one step."""
    text = json.dumps(content, indent=2, sort_keys=True) + "\n"
    _in_one_step(path, lambda part: part.write_text(text, encoding="utf-8"))


def _object(text: bytes, what: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"{max(names, key=names.count)!r} stands there twice")
        return found

    try:
        found = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{what} holds a {type(found).__name__}; it must hold a JSON object")
    return found


def read_safetensors(folder: Path) -> dict[str, Stored]:
    """Find the tensors of ``model.safetensors``, or of the parts that ``model.safetensors.index.json`` lists."""
    if (folder / WEIGHTS).is_file():
        return _one_file(folder / WEIGHTS)
    if not (folder / INDEX).is_file():
        patterns = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "tf_model.h5")
        others = sorted(path.name for pattern in patterns for path in folder.glob(pattern))
        if not others:
            raise FileNotFoundError(f"{folder} has neither {WEIGHTS} nor {INDEX}")
        raise ValueError(
            f"{folder} has no {WEIGHTS}, only {others[0]}, which is not opened: pickled files can run anything. Where "
            "you trust it, load the folder with transformers and write it again with "
            "model.save_pretrained(folder, safe_serialization=True)"
        )
    places = read_json(folder / INDEX).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(part, str) for part in places.values()):
        raise ValueError(f"{folder / INDEX} has no weight_map, from names of tensors to names of files")
    found: dict[str, Stored] = {}
    for part in sorted(set(places.values())):
        if Path(part).name != part:
            raise ValueError(f"{folder / INDEX} names the file {part!r}; it must lie in the same folder")
        if not (folder / part).is_file():
            raise FileNotFoundError(f"{folder / part} is missing, and {INDEX} names it")
        inside = _one_file(folder / part)
        wanted = {name for name, place in places.items() if place == part}
        for name in sorted(wanted ^ set(inside)):
            fault = "is missing" if name in wanted else f"is not listed for it in {INDEX}"
            raise ValueError(f"{folder / part}: tensor {name} {fault}")
        found |= inside
    return found


def _one_file(path: Path) -> dict[str, Stored]:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or 8 + length > size:
            raise ValueError(f"{path} is cut off or no safetensors file: it has {size} bytes, its header {length}")
        header = _object(file.read(length), f"the header of {path}")
    header.pop("__metadata__", None)
    begin, found, spans = 8 + length, {}, []
    for name, entry in header.items():
        try:
            dtype, shape, (first, last) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
            good = dtype in SIZES and all(type(n) is int and n >= 0 for n in (*shape, first, last))
            good = good and last - first == SIZES[dtype] * math.prod(shape)
        except (TypeError, KeyError, ValueError):
            good = False
        if not good:
            raise ValueError(f"{path}: tensor {name} has the entry {entry}, in which dtype, shape and place do not fit")
        if begin + last > size:
            raise ValueError(f"{path}: tensor {name} is cut off: it ends at byte {begin + last} of {size}")
        spans.append((first, last, name))
        found[name] = Stored(path, dtype, shape, _reader(path, dtype, shape, begin + first))
    end = 0
    for first, last, name in sorted(spans):
        if first != end:
            raise ValueError(
                f"{path}: tensor {name} starts at byte {first} of the numbers, the one before ends at {end}"
            )
        end = last
    if begin + end != size:
        raise ValueError(f"{path} has {size - begin - end} bytes behind its last tensor")
    return found


def _reader(path: Path, dtype: str, shape: tuple[int, ...], start: int) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        values = np.fromfile(path, FLOATS[dtype], math.prod(shape), offset=start)
        if dtype == "BF16":  # the upper half of a float32
            values = (values.astype("<u4") << 16).view("<f4")
        return values.astype(np.float32, copy=False).reshape(shape)

    return read


def write_safetensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write tensors in one step, with the note that transformers asks for."""
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    _in_one_step(path, lambda part: save_file(arrays, part, metadata={"format": "pt"}))


def read_hdf5(path: Path) -> dict[str, Stored]:
    """Find the arrays in a weight file of Keras."""
    import h5py  # type: ignore[import-untyped]

    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    found: dict[str, Stored] = {}

    def read(name: str) -> Callable[[], np.ndarray]:
        def numbers() -> np.ndarray:
            with h5py.File(path, "r") as file:
                return np.asarray(file[name], np.float32)

        return lambda: _told(path, numbers)

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            dtype = {"float64": "F64", "float32": "F32", "float16": "F16"}.get(str(item.dtype), str(item.dtype))
            found[name] = Stored(path, dtype, tuple(item.shape), read(name))

    def visit() -> None:
        with h5py.File(path, "r") as file:
            file.visititems(note)

    _told(path, visit)
    return found


def _told(path: Path, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is cut off or no HDF5 file: {error}") from None


def write_hdf5(path: Path, arrays: Mapping[str, np.ndarray], names: Mapping[str, str]) -> None:
    """Write a weight file of Keras in one step; `names` are those of layers, by the group of their arrays."""
    import h5py

    def write(part: Path) -> None:
        with h5py.File(part, "w") as file:
            for place, array in arrays.items():
                file.create_dataset(place, data=array)
            for group, name in names.items():
                file.require_group(f"{group}/vars").attrs["name"] = name

    _in_one_step(path, write)


def _in_one_step(path: Path, write: Callable[[Path], Any]) -> None:
    """Write beside the file and then rename, so that no half-written file ever has its name."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
