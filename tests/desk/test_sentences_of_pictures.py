"""A picture has no slices, and its masks have names: what is said of it when it is run, accepted and taught from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import Bench, result, whole

from boltzformer import Grid
from boltzformer.dataset import Dataset
from boltzformer.dataset.holding import holding
from boltzformer.desk.keeping.cases import Listed, Standing, standing
from boltzformer.desk.keeping.remembering import states_of
from boltzformer.desk.masks.track import Track
from boltzformer.desk.settings import Settings
from boltzformer.desk.words import in_masks
from boltzformer.types import Prediction

pytestmark = pytest.mark.without_engine
HELD = np.pad(np.ones((1, 4, 4), bool), ((0, 0), (4, 12), (4, 12)))


@pytest.fixture
def nuclei(bench: Bench) -> Track:
    return bench.answered(bench.open(Grid.pixels((1, 20, 20))), "cell nucleus", HELD)


def test_what_is_accepted_of_several_masks_is_named() -> None:
    assert in_masks(["spleen"], 1) == ""
    assert in_masks(["spleen", "kidney"], 2) == " in 'spleen', 'kidney'"
    assert in_masks(["spleen"], 2) == " in 'spleen', 1 of 2 masks"
    assert in_masks(list("abc"), 3) == " in all 3 masks"
    assert in_masks(list("abc"), 4) == " in 3 of 4 masks"


def test_accepting_a_picture_names_its_masks_and_no_slice(bench: Bench, nuclei: Track) -> None:
    bench.answered(nuclei.image, "blood vessel", HELD)
    bench.desk.keeper.accept()
    bench.idle()
    assert bench.speaker.sentence.startswith("This picture accepted in 'cell nucleus', 'blood vessel'. Kept as ")
    stroke = nuclei.mask(0)
    stroke[0, 0] = True
    nuclei.surface.paint(0, stroke)  # type: ignore[attr-defined]
    bench.desk.keeper.accept_painted()
    bench.idle()
    assert bench.speaker.sentence.startswith("This picture accepted in 'cell nucleus', 1 of 2 masks. Kept as ")
    bench.desk.keeper.accept_painted()
    assert bench.speaker.sentence == "There is nothing in this picture that you painted and have not accepted."


def test_next_doubtful_and_the_case_list_know_no_slice_of_a_picture(bench: Bench, nuclei: Track) -> None:
    bench.desk.keeper.accept()
    bench.idle()
    bench.desk.keeper.next_doubtful()
    assert bench.speaker.sentence == "Nothing is left to doubt in this picture; asking several seeds tells more."
    assert Standing("x", 1, 1).words == "accepted"
    assert Standing("x", 2, 1).words == "1 of 2 accepted"


def test_what_was_accepted_are_pictures_to_learn_from(bench: Bench, nuclei: Track) -> None:
    bench.desk.keeper.accept()
    bench.idle()
    assert holding(bench.desk.keeper.folder()).sentence == (
        "1 accepted picture of 1 subject: 10 pictures and 3 subjects are needed to tell whether a new model is better."
    )


def test_what_comes_back_to_a_picture_is_told_without_slices(bench: Bench, nuclei: Track, tmp_path: Path) -> None:
    Settings(folder=str(tmp_path / "kept")).save()
    bench.desk.settings.folder = str(tmp_path / "kept")
    keeper, lines, volume = bench.desk.keeper, list[str](), nuclei.image.volume

    def told() -> str:
        again = Bench(folder=tmp_path / "kept")
        again.desk.keeper.look_for(again.open_volume(volume))
        again.until(lambda: bool(again.speaker.offers))
        again.leave()
        return again.speaker.offers[0].sentence.partition(": ")[2]

    for wish in (lambda: None, keeper.accept):
        stroke = nuclei.mask(0)
        stroke[0, len(lines)] = True
        nuclei.surface.paint(0, stroke)  # type: ignore[attr-defined]
        wish()
        bench.idle()
        keeper.autosave()
        bench.idle()
        lines.append(told())
    assert lines == ["painted.", "painted, accepted."]
    (state, *_) = states_of(keeper.folder(), volume)
    assert ": painted, accepted; cell nucleus" in state.words


def test_a_run_and_its_way_back_tell_of_the_picture(bench: Bench, nuclei: Track) -> None:
    stroke = nuclei.mask(0)
    stroke[0, 0] = True
    nuclei.surface.paint(0, stroke)  # type: ignore[attr-defined]
    job = bench.ask("cell nucleus", every=False)
    answer: Any = result(whole(nuclei.image), 0, HELD[0], 0.9)
    job.events = [answer, Prediction((), (answer,), nuclei.image.plan)]
    bench.idle()
    assert bench.speaker.sentence == "Looked at this picture; found 'cell nucleus'. What you edited stayed as painted."
    bench.desk.take(0)  # then it did not stay
    assert bench.speaker.sentence == "Looked at this picture; found 'cell nucleus'."
    nuclei.surface.undo()  # type: ignore[attr-defined]
    assert bench.speaker.sentence.endswith(" What you edited stayed as painted.")
    nuclei.surface.undo()  # type: ignore[attr-defined]  # the stroke itself
    assert bench.speaker.sentence == "Looked at this picture; found 'cell nucleus'."
    bench.desk.revert()
    assert bench.speaker.sentence == "Took the last run back."
    assert bench.desk.overview.reapplying.totals[0].startswith("cell nucleus: ")


def test_reverting_a_run_says_what_stays_and_forgets_nothing(bench: Bench, nuclei: Track) -> None:
    stroke = nuclei.mask(0)
    stroke[0, 0] = True
    nuclei.surface.paint(0, stroke)  # type: ignore[attr-defined]
    for _ in range(2):
        bench.desk.revert()
        assert bench.speaker.sentence == "What you changed or accepted stays; undo that first."
        assert bench.desk.running.can_revert
    nuclei.surface.undo()  # type: ignore[attr-defined]
    bench.desk.revert()
    assert bench.speaker.sentence == "Took the last run back."
    assert not nuclei.mask(0).any()


def test_what_a_run_only_offers_goes_back_with_it(bench: Bench, nuclei: Track) -> None:
    stroke = nuclei.mask(0)
    stroke[0, 0] = True
    nuclei.surface.paint(0, stroke)  # type: ignore[attr-defined]
    bench.answer(nuclei, {0: np.zeros_like(stroke)})
    assert 0 in nuclei.proposals
    assert bench.desk.running.can_revert
    bench.desk.revert()
    assert bench.speaker.sentence == "Took the last run back."
    assert not nuclei.proposals
    assert np.array_equal(nuclei.mask(0), stroke)


def test_a_picture_that_is_cut_after_it_was_accepted_is_not_finished(bench: Bench, nuclei: Track) -> None:
    keeper = bench.desk.keeper
    keeper.accept()
    bench.idle()
    one = Listed("one", keeper.folder(), case=Dataset(keeper.folder()).case_of(nuclei.image.volume))
    assert standing(one, [keeper.folder()]).finished
    bench.desk.split_object(nuclei, (0, 6, 6))
    bench.idle()
    assert bench.speaker.sentence == (
        "One object is two now: 2 objects of 'cell nucleus'. This picture is no longer accepted. One undo brings back "
        "what was there."
    )
    keeper.autosave()
    bench.idle()
    now = standing(one, [keeper.folder()])
    assert (now.words, now.tip, now.finished) == ("changed since", "It was accepted, and changed since.", False)
    nuclei.surface.undo()  # type: ignore[attr-defined]
    bench.desk.keeper.autosave()
    bench.idle()
    assert standing(one, [keeper.folder()]).finished
