"""From a slice of a run to its features: kept ones, ones that were begun ahead, or the encoder's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from boltzformer.engine.devices import Place
from boltzformer.engine.features import FeatureCache, Scope, one_by_one
from boltzformer.engine.run import Run
from boltzformer.model.boltzformer import BoltzFormer, ImageState


def image_of(
    model: BoltzFormer, place: Place, features: FeatureCache, run: Run, scope: Scope, index: int
) -> ImageState:
    """Encodes what is not known yet, together with slices that wait next; or begins the next one on a spare core."""
    features.focus(scope, index if run.focus is None else run.focus)
    encode = partial(_encoded, model, place, run)
    if (begun := run.ahead.take(index)) is not None:
        run.encoded[index] = begun
        features.put(scope, index, begun)
    known = run.encoded.pop(index, None) or features.get(scope, index)
    waiting = [one for one in run.waiting if one != index and one not in run.encoded]
    unknown = [one for one in waiting if features.get(scope, one) is None]
    if known is None:
        batch = [index, *unknown][: run.effort.batch]
        for one, state in zip(batch, one_by_one(encode(batch)), strict=True):
            run.encoded[one] = state
            features.put(scope, one, state)
        known = run.encoded.pop(index)
    if run.effort.ahead and unknown:
        run.ahead.begin(unknown[0], partial(encode, unknown[:1]))
    return known


def _encoded(model: BoltzFormer, place: Place, run: Run, batch: Sequence[int]) -> ImageState:
    """On any thread: it asks nothing of an engine, which may go on to other things meanwhile."""
    return model.encode_image(run.cut(batch).to(place.device, place.drawing))
