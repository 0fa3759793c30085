"""Who starts afresh and closes at once has said so: the same is not brought back another day, and stays in reach."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from bench import Bench

from boltzformer import Grid, Volume
from boltzformer.desk.image import OpenImage
from boltzformer.desk.keeping.afresh import Afresh
from boltzformer.desk.keeping.bringing_back import about, last_of
from boltzformer.desk.settings import Settings

pytestmark = pytest.mark.without_engine

Opened = tuple[Bench, OpenImage]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[], Opened]]:
    """A viewer, and the image in it; the one before it is closed."""
    Settings(folder=str(tmp_path / "kept")).save()
    values = np.random.default_rng(5).integers(0, 255, (3, 20, 20)).astype(np.uint8)
    volume, open_now = Volume(values, Grid.from_lps((3, 20, 20), np.eye(4)), name="one"), list[Bench]()

    def again() -> Opened:
        if open_now:
            open_now.pop().leave()
        bench = Bench()
        open_now.append(bench)
        image = bench.open_volume(volume)
        bench.desk.keeper.look_for(image)
        bench.idle()
        return bench, image

    yield again
    open_now.pop().leave()


def work_on(bench: Bench, image: OpenImage, name: str, *, accept: bool) -> None:
    found = np.zeros((3, 20, 20), bool)
    found[1, 5:9, 5:9] = True
    bench.answered(image, name, found)
    if accept:
        bench.stage.go(image, 1)
        bench.desk.scrolled()
        bench.desk.keeper.accept()
    bench.desk.keeper.autosave()
    bench.idle()


def offer(bench: Bench, image: OpenImage) -> tuple[str, list[str]]:
    one = next(one for one in bench.desk.notice.offers if one.topic == about(image))
    return one.sentence, [label for label, _ in one.answers]


@pytest.mark.parametrize("accept", [False, True])
def test_it_stays_so_until_there_is_more_to_keep(opened: Callable[[], Opened], accept: bool) -> None:
    bench, image = opened()
    work_on(bench, image, "tumor", accept=accept)

    bench, image = opened()
    assert [one.name for one in bench.desk.tracks.of(image)] == ["tumor"]
    bench.desk.notice.answer(about(image), "Start afresh")

    bench, image = opened()
    assert bench.desk.tracks.of(image) == []
    sentence, answers = offer(bench, image)
    assert sentence.startswith("Started afresh ")
    assert answers == ["Earlier…"]
    bench.desk.notice.answer(about(image), "Earlier…")
    bench.idle()
    assert [one.name for one in bench.desk.tracks.of(image)] == ["tumor"]
    bench.desk.keeper.leave()

    bench, image = opened()
    assert [one.name for one in bench.desk.tracks.of(image)] == ["tumor"]  # and so is what was taken back
    bench.desk.notice.answer(about(image), "Start afresh")

    bench, image = opened()
    work_on(bench, image, "edema", accept=False)
    bench, image = opened()
    names = [one.name for one in bench.desk.tracks.of(image)]
    assert names == ["edema", *(["tumor"] if accept else [])]  # what was accepted lies beside it, as ever


def test_of_several_folders_work_goes_on_in_the_one_where_something_is_accepted() -> None:
    """It is said in all of them at once, in whatever order they are looked into."""
    drafts = Afresh("2026-01-01T10:00:00.002+00:00", Path("drafts"), None), Path("drafts")
    accepted = Afresh("2026-01-01T10:00:00.001+00:00", Path("accepted"), 3), Path("accepted")
    assert last_of([drafts, accepted]) == last_of([accepted, drafts]) == accepted
