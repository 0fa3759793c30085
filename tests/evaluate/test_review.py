"""`boltzformer review`, as a user types it."""

from pathlib import Path

import pytest
from phantom_model import PHANTOM_MODEL

from boltzformer.cli.cli import run
from boltzformer.dataset import Dataset


def test_where_nothing_is_left_to_judge_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "store"
    Dataset.at(place)
    assert run(["review", str(place), "--model", str(PHANTOM_MODEL), "--device", "cpu"]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"{place} has no slice that nobody has judged: there is nothing to review.\n"
