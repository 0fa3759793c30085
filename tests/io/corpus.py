"""A corpus of broken files: who makes them, and how they have to be refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from boltzformer import io
from boltzformer.errors import BoltzFormerError

DAMAGED = "is damaged or ends too early: copy or download it again."
HEADER = "has a zero spacing or an impossible direction in its header: repair the header, or export the image again"

Maker = Callable[[Path], Path]
Corpus = list[tuple[Maker, type[BoltzFormerError], str]]


def collected(corpus: Corpus) -> Callable[[type[BoltzFormerError], str], Callable[[Maker], Maker]]:
    """A decorator that adds the maker of a broken file to a corpus, with the error and a part of what must be said."""

    def broken(error: type[BoltzFormerError], sentence: str) -> Callable[[Maker], Maker]:
        def add(maker: Maker) -> Maker:
            corpus.append((maker, error, sentence))
            return maker

        return add

    return broken


def all_of(corpus: Corpus) -> pytest.MarkDecorator:
    """Runs a test for every file in the corpus."""
    return pytest.mark.parametrize(("maker", "error", "sentence"), corpus, ids=[maker.__name__ for maker, *_ in corpus])


def cut(path: Path, share: float = 0.6) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def demand_refusal(folder: Path, capfd: Any, maker: Maker, error: type[BoltzFormerError], sentence: str) -> None:
    """One sentence that names the file and the way out; nothing on the terminal, nothing changed on the disk."""
    path = maker(folder)
    before = sorted(folder.rglob("*"))
    capfd.readouterr()
    with pytest.raises(BoltzFormerError) as caught:
        io.read(path)
    said = str(caught.value)
    assert type(caught.value) is error, said
    assert sentence in said
    assert str(path) in said
    assert said.endswith(".")
    assert "\n" not in said
    assert capfd.readouterr() == ("", "")  # no library talks to the terminal past us
    assert sorted(folder.rglob("*")) == before
