"""The Large Movie Review Dataset: reviews of films as texts, for the classification of whole texts.

``keras.datasets.imdb`` has the same reviews as numbers of words, without punctuation; a model that reads pieces of
words needs the texts.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from course_lib import _check
from course_lib.data.labelled import Labelled, Task, read_text

__all__ = ["imdb"]

_NAME = re.compile(r"(\d+)_(\d+)\.txt")
_RATINGS = {"neg": range(1, 5), "pos": range(7, 11)}  # stars; reviews of 5 and 6 stars were left out


def imdb(folder: str | Path, validation: float = 0.1, seed: int = 0) -> Task:
    """Read reviews of films, of people who did not like them (0) and who did (1).

    Parameters
    ----------
    folder : str or Path
        ``aclImdb`` as unpacked from https://ai.stanford.edu/~amaas/data/sentiment (it states no licence): ``train`` and
        ``test`` hold ``neg`` and ``pos``, and those one file a review, named ``number_stars.txt``.
    validation : float
        The share of the training reviews, class by class, that is kept apart for validation: there is no published
        part for it.
    seed : int
        Decides which.

    Returns
    -------
    Task
        Of the whole data set: 22,500 reviews to train, 2,500 to validate and 25,000 to test, half of them of each
        class. Line breaks, in the files ``<br />``, are newlines. No film is in both `train` and `test`; one may be in
        both `train` and `validation`.

    Raises
    ------
    FileNotFoundError
        If a folder is missing or empty.
    TypeError, ValueError
        If a file is not named or not written like that, or a number is out of range.

    References
    ----------
    A. L. Maas et al., Learning Word Vectors for Sentiment Analysis, 2011, https://aclanthology.org/P11-1015
    """
    if _check.fraction("validation", validation) == 0:
        raise ValueError(f"validation is {validation!r}; it must be above 0 and below 1")
    train, test = (_part(Path(folder) / name) for name in ("train", "test"))
    first, second = train.split(validation, seed)
    return Task(("negative", "positive"), first, second, test)


def _part(folder: Path) -> Labelled:
    texts: list[str] = []
    counts = []
    for name, ratings in _RATINGS.items():
        if not (folder / name).is_dir():
            raise FileNotFoundError(f"folder must hold {folder.name}/{name}; there is no {folder / name}")
        files = []
        for path in (folder / name).iterdir():
            found = _NAME.fullmatch(path.name)
            if found is None or int(found[2]) not in ratings:
                allowed = f"{ratings[0]} to {ratings[-1]}"
                raise ValueError(f"{path} must be named number_stars.txt, with {allowed} stars in the folder {name!r}")
            files.append((int(found[1]), path))
        if not files:
            raise FileNotFoundError(f"{folder / name} is empty; it must hold the reviews")
        texts += [re.sub(r"(?:<br\s*/>)+", "\n", read_text(path)).strip() for _, path in sorted(files)]
        counts.append(len(files))
    return Labelled(tuple(texts), np.repeat(np.arange(2, dtype=np.int32), counts))
