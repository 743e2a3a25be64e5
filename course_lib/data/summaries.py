"""Texts with summaries of them: SciTLDR, papers told in one sentence."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.data.labelled import read_text

__all__ = ["Document", "SummaryTask", "scitldr"]


@dataclass(frozen=True)
class Document:
    """A text, sentence by sentence, and what several people made of it.

    Attributes
    ----------
    id : str
    sentences : tuple of str
    summaries : tuple of str
        Each a good summary by itself.
    """

    id: str
    sentences: tuple[str, ...]
    summaries: tuple[str, ...]


@dataclass(frozen=True)
class SummaryTask:
    """Documents with their published parts.

    Attributes
    ----------
    train, validation, test : tuple of Document
    """

    train: tuple[Document, ...]
    validation: tuple[Document, ...]
    test: tuple[Document, ...]


def scitldr(folder: str | Path) -> SummaryTask:
    """Read SciTLDR: abstracts of papers on machine learning, with summaries of a sentence by authors and reviewers.

    Parameters
    ----------
    folder : str or Path
        One of the folders ``SciTLDR-A`` (abstracts), ``SciTLDR-AIC`` or ``SciTLDR-FullText`` from
        https://github.com/allenai/scitldr (Apache-2.0): ``train.jsonl``, ``dev.jsonl`` and ``test.jsonl``, in each line
        a JSON object with the lists ``source`` and ``target`` and the string ``paper_id``.

    Returns
    -------
    SummaryTask
        Of the published files: 1,992 papers to train, 619 to validate, 618 to test. Those to train have one summary
        each, the others up to four. Sentences without a character are left out.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file has not the form above; the message names the file, the line and what stands there.

    References
    ----------
    I. Cachola, K. Lo, A. Cohan, D. S. Weld, TLDR, 2020, https://arxiv.org/abs/2004.15011
    """
    train, validation, test = (_read(Path(folder) / f"{name}.jsonl") for name in ("train", "dev", "test"))
    return SummaryTask(train, validation, test)


def _read(path: Path) -> tuple[Document, ...]:
    documents = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        where = f"{path}, line {number}"
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{where} is not JSON: {error}") from None
        if not isinstance(record, dict) or not isinstance(record.get("paper_id"), str):
            raise ValueError(f"{where}: there must be an object with the string 'paper_id'")
        documents.append(Document(record["paper_id"], _texts(record, "source", where), _texts(record, "target", where)))
    return tuple(documents)


def _texts(record: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    found = record.get(key)
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise ValueError(f"{where}: {key!r} is {str(found)[:40]!r}; it must be a list of strings")
    texts = tuple(text.strip() for text in found if text.strip())
    if not texts:
        raise ValueError(f"{where}: {key!r} has no text")
    return texts
