"""Scouting: every few slices first, then only where something may be; the same answers there, no word of the rest."""

import json
from pathlib import Path

import numpy as np
import pytest
from phantom_model import PHANTOM_MODEL

import boltzformer
from boltzformer import BoltzFormerError, Engine, Prediction, SliceResult, io
from boltzformer.cli.cli import run
from boltzformer.engine.reproduce import reproduce
from boltzformer.engine.scout import LIKELY, Scout
from boltzformer.io.phantom import BRIGHT, Phantom, phantom


def answer(index: int, existence: float) -> SliceResult:
    return SliceResult(index, np.zeros((1, 4, 4), np.int8), np.array([existence], np.float32))


def asked(scout: Scout, there: set[int]) -> list[int]:
    order = []
    while (index := scout.next_index()) is not None:
        order.append(index)
        scout.heard(answer(index, 0.9 if index in there else LIKELY / 2))
    return order


def test_every_fourth_slice_and_the_ends_then_outwards_from_what_is_there() -> None:
    order = asked(Scout([10, 11, 9, 12, 8, *range(8), *range(13, 24)]), {13, 14, 15, 16})
    assert order[:2] == [10, 2]  # the slice on screen first, then the others that its step meets, as they were wanted
    assert {2, 6, 10, 14, 18, 22, 0, 23} <= set(order)
    assert {12, 13, 15, 16, 17} <= set(order)
    assert {3, 4, 5, 8, 20, 21}.isdisjoint(order)
    assert len(order) == len(set(order))


def test_where_nothing_may_be_a_fourth_is_asked() -> None:
    assert len(asked(Scout(range(300)), set())) == 76


def test_where_it_is_everywhere_all_are_asked() -> None:
    assert sorted(asked(Scout(range(30), 3), set(range(30)))) == list(range(30))


@pytest.fixture(scope="module")
def made() -> Phantom:
    return phantom(5, (48, 72, 72), (BRIGHT,))


def test_what_is_looked_at_is_answered_as_ever(engine: Engine, made: Phantom) -> None:
    whole = boltzformer.segment(made.volume, BRIGHT, model=engine)
    scouted = boltzformer.segment(made.volume, BRIGHT, model=engine, scout=4)
    full = {one.index: one for one in whole.slices}
    assert len(scouted.slices) < 0.7 * len(full)
    assert all(np.array_equal(one.logits, full[one.index].logits) for one in scouted.slices)
    assert np.array_equal(scouted.labels().layers, whole.labels().layers)
    told = json.loads(json.dumps(scouted.provenance))
    assert told["scout"] == {"every": 4, "of slices": 48}
    assert told["slices"] == [one.index for one in scouted.slices]
    *_, again = reproduce(told, made.volume, engine)
    assert isinstance(again, Prediction)
    assert again.provenance["logits sha256"] == told["logits sha256"]


def test_who_chooses_the_slices_can_not_scout(engine: Engine, made: Phantom) -> None:
    with pytest.raises(BoltzFormerError, match="Scouting chooses among slices"):
        engine.segment(made.volume, BRIGHT, slices=lambda: None, scout=4)
    with pytest.raises(BoltzFormerError, match="passes none over"):
        engine.segment(made.volume, BRIGHT, scout=1)


def test_from_a_terminal(made: Phantom, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    io.write_volume(made.volume, tmp_path / "a.nii.gz")
    call = ["segment", str(tmp_path / "a.nii.gz"), "-p", BRIGHT, "--model", str(PHANTOM_MODEL)]
    assert run([*call, "-o", str(tmp_path / "out"), "--scout", "4"]) == 0
    assert " of 48 slices; the others were not looked at." in capsys.readouterr().err
    assert run([*call, "-o", str(tmp_path / "not"), "--scout", "1"]) == 2
    assert run([*call, "-o", str(tmp_path / "not"), "--scout", "4", "--smooth", "3"]) == 2
    assert "--smooth needs every slice" in capsys.readouterr().err
    assert not (tmp_path / "not").exists()
