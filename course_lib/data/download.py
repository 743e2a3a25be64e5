"""Downloads that are checked, kept, and explained where they fail.

A file is known by its SHA-256: what was downloaded once is found again, what somebody put into the folder by hand is as
good, and what arrived wrong is never used.
"""

from __future__ import annotations

import hashlib
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["cache_folder", "fetch"]

_CHUNK = 1 << 18  # bytes


def cache_folder() -> Path:
    """Give the folder of downloads: the environment's ``COURSE_CACHE``, or ``~/.cache/course_lib``."""
    return Path(os.environ.get("COURSE_CACHE") or Path.home() / ".cache" / "course_lib")


def fetch(url: str, sha256: str, cache: str | Path | None = None, progress: bool = True, timeout: float = 30.0) -> Path:
    """Give the path of a file from the web, which is downloaded if it is not there yet.

    Parameters
    ----------
    url : str
        Its address, http or https.
    sha256 : str
        The SHA-256 of its content, 64 hexadecimal digits.
    cache : str or Path, optional
        The folder of downloads; `cache_folder` by default.
    progress : bool
        Whether to print how far it is.
    timeout : float
        Seconds to wait for the server to say something.

    Returns
    -------
    Path
        The file, whose content has that hash.

    Raises
    ------
    ValueError
        If `url` or `sha256` has a wrong form, or what the server sent has another hash.
    ConnectionError
        If the server does not answer, refuses, or stops early. The message says where to put the file by hand.

    Notes
    -----
    The content is written beside its place, under a name that ends in ``.part``, and gets its name in one step when its
    hash is right: no other process sees half a file. After a break the next call asks for the rest only.
    """
    parts = urllib.parse.urlsplit(str(url))
    name = Path(urllib.parse.unquote(parts.path)).name
    if parts.scheme not in ("http", "https") or not parts.netloc or not name:
        raise ValueError(f"url is {url!r}; it must be an http or https address of a file")
    wanted = str(sha256).lower()
    if not re.fullmatch("[0-9a-f]{64}", wanted):
        raise ValueError(f"sha256 is {sha256!r}; it must be 64 hexadecimal digits")
    folder = Path(cache) if cache is not None else cache_folder()
    target = folder / wanted[:12] / name  # files of one name and different content do not meet
    if target.is_file() and _hash(target) == wanted:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(name + ".part")
    advice = f"Get the file in another way and put it at {target}; its SHA-256 must be {wanted}."
    while True:
        resumed = part.stat().st_size if part.exists() else 0
        try:
            _download(url, part, resumed, name if progress else None, timeout)
        except urllib.error.HTTPError as error:
            if error.code != 416:  # 416: there is nothing behind what we have
                raise ConnectionError(f"{url} answers {error.code} {error.reason}. {advice}") from error
        except (urllib.error.URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise ConnectionError(f"{url} cannot be reached or broke off ({reason}). {advice}") from error
        found = _hash(part)
        if found == wanted:
            part.replace(target)
            return target
        part.unlink()
        if not resumed:  # otherwise the first half may be to blame: once more, from the beginning
            raise ValueError(f"{url} gave a file with the SHA-256 {found}, not {wanted}. {advice}")


def _download(url: str, part: Path, resumed: int, name: str | None, timeout: float) -> None:
    """Write what the server sends behind what is there already, or from the beginning if it sends all."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={resumed}-"} if resumed else {})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        goes_on = answer.status == 206 and str(answer.headers.get("Content-Range")).startswith(f"bytes {resumed}-")
        if answer.status == 206 and not goes_on:
            raise ConnectionError(f"the server sent the range {answer.headers.get('Content-Range')!r}")
        have = resumed if goes_on else 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        with part.open("ab" if goes_on else "wb") as file:
            have = _copy(answer, file, have, total, name)
    if total is not None and have < total:
        raise ConnectionError(f"it stopped after {have} of {total} bytes; the next call goes on there")


def _copy(answer: Any, file: BinaryIO, have: int, total: int | None, name: str | None) -> int:
    while chunk := answer.read(_CHUNK):
        file.write(chunk)
        have += len(chunk)
        if name:
            share = f"{have / total:.0%} of {total / 1e6:.1f} MB" if total else f"{have / 1e6:.1f} MB"
            print(f"\r{name}: {share}", end="", flush=True)
    if name:
        print()
    return have


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
