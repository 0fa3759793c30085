"""Any sequence of corrections: for each label and slice the last word counts, and nothing else is believed."""

import tempfile
from pathlib import Path

import numpy as np
from annotated import image
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boltzformer import LabelMap, Volume
from boltzformer.dataset import Dataset
from boltzformer.types import Annotation, SliceState

UNSEEN, REVIEWED, EMPTY, IGNORED = SliceState
NAMES = ("lesion", "Läsion, klein", "3. Niere/links")


@st.composite
def corrections(draw: st.DrawFn) -> tuple[Volume, int, list[Annotation]]:
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(2, 4)))
    axis, volume = draw(st.integers(0, 2)), image(draw(st.integers(0, 3)), shape)
    several = []
    for _ in range(draw(st.integers(1, 4))):
        names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
        rng = np.random.default_rng(draw(st.integers(0, 10**6)))
        values = rng.permutation(255)[: len(names)] + 1
        layers = np.stack([(rng.random(shape) < 0.4) * value for value in values]).astype(np.uint8)  # they overlap
        states = {}
        for layer, name in enumerate(names):
            said = draw(st.lists(st.sampled_from(SliceState), min_size=shape[axis], max_size=shape[axis]))
            for index, state in enumerate(said):
                if state is EMPTY:
                    np.moveaxis(layers[layer], axis, 0)[index] = 0
            states[name] = tuple(said)
        labels = LabelMap(layers, volume.grid, dict(zip(map(int, values), names, strict=True)))
        several.append(Annotation(volume, labels, (), states, {}, axis))
    return volume, axis, several


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(corrections())
def test_the_last_word_on_every_slice_counts(made: tuple[Volume, int, list[Annotation]]) -> None:
    volume, axis, several = made
    states: dict[str, list[SliceState]] = {}
    masks: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as place:
        store = Dataset.at(Path(place) / "store")
        for one in several:
            if all(set(said) == {UNSEEN} for said in one.slices.values()):
                continue
            store.add(one, answer=one.labels)
            for value, name in one.labels.names.items():
                if set(one.slices[name]) == {UNSEEN}:
                    continue
                mine = states.setdefault(name, [UNSEEN] * volume.grid.shape[axis])
                known = np.moveaxis(masks.setdefault(name, np.zeros(volume.grid.shape, bool)), axis, 0)
                now = np.moveaxis(one.labels.mask(value), axis, 0)
                for index, state in enumerate(one.slices[name]):
                    if state is not UNSEEN:
                        known[index] = now[index]
                        mine[index] = EMPTY if state is REVIEWED and not now[index].any() else state
        cases = list(store.cases())
        assert len(cases) == bool(states)
        for case in cases:
            assert case.axis == axis
            assert case.states == {name: tuple(said) for name, said in states.items()}
            for name, mask in masks.items():
                assert np.array_equal(case.mask(name), mask)
                assert np.array_equal(case.labels.mask({n: v for v, n in case.labels.names.items()}[name]), mask)
            for revision in case.revisions:
                assert all(change == {"added": 0, "removed": 0} for change in revision.changes.values())
                answer = revision.answer(case.grid)
                assert all(np.array_equal(answer[name], mask) for name, mask in revision.masks(case.grid).items())
            for name, (said, known) in case.answers().items():  # what was corrected is just what had been said
                assert np.array_equal(said, case.mask(name))
                assert known == {index for index, state in enumerate(case.states[name]) if state is not UNSEEN}
            latest = case.revisions[-1].number
            assert store.add(case.annotation, based_on=latest).number == latest
