"""`Scene`: what an image is worked on with, beside its masks: prompts in their order, slice, thresholds, model, points
and boxes, closed eyes; kept with every autosave, so that work goes on as it was left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from boltzformer.desk.masks.kept import Thresholds
from boltzformer.desk.masks.track import Track

SCENE = "scene"
"""Where the provenance says it."""


@dataclass(frozen=True)
class Scene:
    """Plain values alone: it is written as JSON."""

    prompts: tuple[str, ...] = ()
    """As they stood in the box."""
    row: int | None = None
    """The slice on screen, as the viewer counts it."""
    thresholds: Thresholds | None = None
    """None: the model's own."""
    model: str = ""
    """Its name, never a place."""
    guides: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Points and boxes, as the viewer's `Stage.guides` tells them."""
    colours: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of the masks, by their prompts' texts."""
    hidden: tuple[str, ...] | None = None
    """Prompts' texts of the masks whose eye is closed; None: nobody knows."""

    def left_behind(self, now: Scene) -> Scene:
        """Of an image that is gone, as it was known before: what its viewer showed by then is not told as its own."""
        colours = {**self.colours, **now.colours}
        return replace(now, row=self.row, guides=self.guides, colours=colours, hidden=self.hidden)

    def told(self) -> dict[str, Any]:
        """For a provenance."""
        return {
            **asdict(self),
            "prompts": list(self.prompts),
            "guides": dict(self.guides),
            "colours": dict(self.colours),
            "hidden": None if self.hidden is None else list(self.hidden),
        }

    @staticmethod
    def of(provenance: Mapping[str, Any]) -> Scene:
        """What older work does not tell, or tells otherwise, is as good as not known."""
        told = provenance.get(SCENE)
        if not isinstance(told, dict):
            return Scene()
        at, row = told.get("thresholds"), told.get("row")
        prompts, colours, hidden = told.get("prompts"), told.get("colours"), told.get("hidden")
        return Scene(
            tuple(one for one in prompts if isinstance(one, str)) if isinstance(prompts, list) else (),
            row if isinstance(row, int) else None,
            _thresholds(at) if isinstance(at, dict) else None,
            str(told.get("model", "")),
            told["guides"] if isinstance(told.get("guides"), dict) else {},
            {text: str(one) for text, one in colours.items()} if isinstance(colours, dict) else {},
            tuple(one for one in hidden if isinstance(one, str)) if isinstance(hidden, list) else None,
        )


def looks_of(tracks: Sequence[Track]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Colours of masks, and those whose eye is closed, by their prompts' texts."""
    colours = {one.prompt.text: one.colour for one in tracks}
    return colours, tuple(one.prompt.text for one in tracks if one.surface.alive and not one.surface.shown)


def _thresholds(told: Mapping[str, Any]) -> Thresholds:
    """Work of an earlier version knows nothing of sizes."""
    smallest, largest = float(told.get("smallest_mm3", 0.0)), told.get("largest")
    apart = bool(told.get("apart", False))
    return Thresholds(float(told["existence"]), float(told["outline"]), smallest, largest, apart)


NOWHERE = Scene()
"""Of what leaves the viewer: nobody goes on from there."""
