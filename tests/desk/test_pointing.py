"""Guidance is what can be seen: every run heeds the points and boxes on screen, and says so."""

from dataclasses import replace
from typing import Any

import numpy as np
from bench import Bench

from boltzformer import Guidance
from boltzformer.desk.masks.pointing import Pointed, Pointing, guidance_for, heeded, led_by, region_of
from boltzformer.desk.words import counted
from boltzformer.image.slicing import SlicePlan
from boltzformer.io.phantom import BRIGHT, DARK, Phantom

HERE, AWAY, OTHER = (
    Pointed((7, 20, 30), True, BRIGHT),
    Pointed((7, 60, 70), False, BRIGHT),
    Pointed((7, 5, 5), True, DARK),
)
BOX = np.array([[7.0, 10.0, 10.0], [7.0, 50.0, 60.0]])


def told(run: dict[str, Any]) -> list[tuple[str, int, int, bool]]:
    return [(one["prompt"], len(one["here"]), len(one["not_here"]), one["box"] is not None) for one in run["guidance"]]


def test_every_run_heeds_what_can_be_seen_and_says_so(bench: Bench, small: Phantom) -> None:
    image = bench.open_volume(small.volume)
    bench.stage.go(image, 7)
    bench.pointing = Pointing((HERE, AWAY, OTHER), BOX)
    bench.desk.running.start([BRIGHT], only_this=True)
    bench.idle()
    (track,) = bench.desk.tracks.chosen()
    assert bench.speaker.sentence.startswith("Looked in 1 slice, led by 2 points and a box; found 'bright blob' in 1")
    assert told(track.runs[-1]) == [(BRIGHT, 1, 1, True)]
    assert not track.row(7)[60:].any()  # outside of the box nothing is looked at

    bench.desk.running.start([BRIGHT, DARK], only_this=False)
    bench.idle()
    said = "Looked in 16 slices, led by 3 points and a box for 'bright blob'; found "
    assert bench.speaker.sentence.startswith(said)
    assert told(track.runs[-1]) == [(BRIGHT, 1, 1, True), (DARK, 1, 0, False)]

    image.typed = [BRIGHT, "a bright one"]  # beside a prompt that was asked in other words before
    bench.desk.running.start([BRIGHT], only_this=True)
    bench.idle()
    assert f" 1 point in sight is about '{DARK}', so it led nobody." in bench.speaker.sentence
    image.typed = [BRIGHT, DARK]  # whose turn is not now
    bench.desk.running.start([BRIGHT], only_this=True)
    bench.idle()
    assert "led nobody" not in bench.speaker.sentence

    bench.pointing = Pointing((), None)  # hidden, or removed
    bench.desk.running.start([BRIGHT], only_this=True)
    bench.idle()
    assert bench.speaker.sentence.startswith("Looked in 1 slice; found ")
    assert track.runs[-1]["guidance"] == []


def test_a_box_takes_nothing_from_the_masks_that_are_not_in_hand(bench: Bench, small: Phantom) -> None:
    image = bench.open_volume(small.volume)
    bench.stage.go(image, 7)
    bench.desk.running.start([BRIGHT, DARK], only_this=True)
    bench.idle()
    bright, dark = bench.desk.tracks.chosen()
    before = {track.prompt.text: track.mask(7).copy() for track in (bright, dark)}
    assert all(mask.any() for mask in before.values())
    for hand, other in ((bright, dark), (dark, bright)):
        bench.stage.activate(hand.surface)
        bench.pointing = Pointing((), np.array([[7.0, 0.0, 0.0], [7.0, 1.0, 1.0]]))  # nothing of either is in it
        bench.desk.running.start([BRIGHT, DARK], only_this=True)
        bench.idle()
        assert f"led by a box for '{hand.prompt.name}'; found" in bench.speaker.sentence
        assert not hand.mask(7)[2:].any()
        assert np.array_equal(other.mask(7), before[other.prompt.text])
        bench.desk.revert()


def test_the_answer_of_a_box_leaves_alone_what_a_person_has_around_it(bench: Bench, small: Phantom) -> None:
    image = bench.open_volume(small.volume)
    bench.stage.go(image, 7)
    bench.desk.running.start([BRIGHT], only_this=True)
    bench.idle()
    (track,) = bench.desk.tracks.chosen()
    mine = track.mask(7)
    mine[20:30, 20:30], mine[60:70, 60:80] = True, True
    track.change(7, mine)
    bench.pointing = Pointing((), BOX)
    bench.desk.running.start([BRIGHT], only_this=True)
    bench.idle()
    offered = track.proposed(7)
    inside = np.zeros_like(mine)
    inside[10:51, 10:61] = True
    assert not np.array_equal(offered[inside], mine[inside])
    assert np.array_equal(offered[~inside], mine[~inside])
    bench.desk.take(7)
    bench.idle()
    assert np.array_equal(track.mask(7), offered)
    assert track.edited(7)  # around the box it is a person's still


def test_what_is_pointed_at_in_another_slice_leads_nobody_here(bench: Bench, small: Phantom) -> None:
    image = bench.open_volume(small.volume)
    bench.stage.go(image, 3)
    bench.pointing = Pointing((HERE,), BOX)
    bench.desk.running.start([BRIGHT], only_this=True)
    bench.idle()
    assert bench.speaker.sentence.startswith("Looked in 1 slice; found ")


def test_what_lies_beside_the_image_leads_nobody_and_is_not_asked(bench: Bench, small: Phantom) -> None:
    """The engine refuses places that are none; one stray point would stop every run until somebody finds it."""
    image = bench.open_volume(small.volume)  # of 16 slices, 72 rows, 80 columns
    bench.stage.go(image, 7)
    beside = [(7, 72.6, 20), (7, 20, -0.6), (15.6, 20, 20), (-0.6, 20, 20)]
    box = np.array([[7.0, 80.0, 10.0], [7.0, 99.0, 60.0]])
    bench.pointing = Pointing((*(Pointed(place, True, BRIGHT) for place in beside), HERE), box)
    bench.desk.running.start([BRIGHT], only_this=True)
    bench.idle()
    assert bench.speaker.sentence.startswith("Looked in 1 slice, led by 1 point; found ")
    assert told(bench.desk.tracks.chosen()[0].runs[-1]) == [(BRIGHT, 1, 0, False)]

    edge = [Pointed(place, True, BRIGHT) for place in ((15.5, 71.5, 79.5), (-0.5, -0.5, -0.5))]
    (said,) = guidance_for(small.volume, [BRIGHT], Pointing(tuple(edge), box - (0, 10, 0)))
    assert (len(said.here), said.box is not None) == (2, True)


def test_a_closer_look_heeds_points_but_its_box_is_where_it_looks(bench: Bench, small: Phantom) -> None:
    image = bench.open_volume(small.volume)
    bench.stage.go(image, 7)
    bench.pointing = Pointing((HERE,), BOX)
    bench.how = {"region": region_of(image.volume, BOX)}
    bench.desk.running.start([BRIGHT], only_this=True)
    bench.idle()
    assert bench.speaker.sentence.startswith("Looked in 1 slice, only in the box, led by 1 point; found ")

    bench.pointing = Pointing((AWAY,), BOX)  # outside of the box it leads nobody
    bench.desk.running.start([BRIGHT], only_this=True)
    bench.idle()
    assert bench.speaker.sentence.startswith("Looked in 1 slice, only in the box; found ")


def test_sentences_follow_the_thresholds(bench: Bench, small: Phantom) -> None:
    bench.open_volume(small.volume)
    bench.desk.running.start([BRIGHT], only_this=False)
    bench.idle()
    before = bench.speaker.sentence
    assert before.startswith("Looked in 16 slices; found 'bright blob' in ")
    (track,) = bench.desk.tracks.chosen()
    bench.desk.overview.reapplying.choose(outline=0.995, existence=sorted(track.scores.values())[-2])
    bench.idle()
    left = int(track.surface.copy().any(axis=(1, 2)).sum())
    assert bench.speaker.sentence == f"Looked in 16 slices; found 'bright blob' in {left}." != before
    bench.desk.overview.reapplying.reset()
    bench.idle()
    assert bench.speaker.sentence == before
    bench.desk.overview.reapplying.choose_objects(smallest_mm3=1e9, largest=None)
    bench.idle()
    hidden = f"(the size filter hides {counted(bench.desk.sizes.count, 'object')})"
    assert bench.speaker.sentence == f"Looked in 16 slices; found 'bright blob' in 0 {hidden}."
    assert bench.desk.sizes.count > 0
    bench.desk.notice.say("Something else.")
    bench.desk.overview.reapplying.reset()
    bench.idle()
    assert bench.speaker.sentence == "Something else."


def test_words_count_what_leads(small: Phantom) -> None:
    volume = small.volume
    said = guidance_for(volume, [BRIGHT, DARK], Pointing((HERE, AWAY, OTHER), BOX))
    plan = SlicePlan.of(volume.grid, 64, volume.slice_axis)
    index, every = plan.canonical_index(7), range(plan.count)
    assert led_by(said, plan, every) == led_by(said, plan, {index}) == "led by 3 points and a box"
    assert led_by(said, plan, set(every) - {index}) == ""
    assert led_by(guidance_for(volume, [BRIGHT], Pointing((HERE,), None)), plan, every) == "led by 1 point"
    assert led_by((), plan, every) == ""
    assert guidance_for(volume, ["x"], Pointing((HERE,), None)) == ()


def test_whoever_asks_again_about_one_prompt_says_nothing_of_others() -> None:
    both = Guidance(here=((1, 1, 1),), prompt=BRIGHT), Guidance(here=((2, 2, 2),), prompt=DARK)
    how = {"seed": 0, "guidance": both}
    assert heeded(how, [BRIGHT]) == {"seed": 0, "guidance": both[:1]}
    assert heeded(how, ["x"]) == {"seed": 0, "guidance": None}
    assert heeded({"seed": 0}, [BRIGHT]) == {"seed": 0}
    assert heeded({"guidance": (replace(both[0], prompt=""),)}, ["x"])["guidance"]
