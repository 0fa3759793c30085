"""From scored cases to numbers: by target, modality and size, macro over targets, each with an interval by groups."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any

import numpy as np

from boltzformer.evaluate.evaluate import Scored
from boltzformer.evaluate.metrics import (
    LEVEL,
    RESAMPLES,
    SAME_OBJECT,
    TOLERANCE,
    Objects,
    auroc,
    calibration,
    grouped,
    interval,
    macro_interval,
    mean,
    weighted,
)
from boltzformer.evaluate.volumes import volume_summary

SMALL = 0.01
"""Objects below this share of the image are small."""
BANDS = {"<0.1%": 0.001, "0.1-1%": SMALL, "1-10%": 0.1, ">10%": np.inf}
"""Name → where the band ends."""
Numbers = dict[str, Any]


def band(area: float) -> str:
    """The band that an object of this share of the image falls into."""
    return next(name for name, end in BANDS.items() if area < end)


def summary(scored: Sequence[Scored], taught: AbstractSet[str] | None, *, min_masks: int = 5, seed: int = 0) -> Numbers:
    """All numbers of an evaluation; what there is nothing for is None.

    `taught` are the targets that the model's card says it was taught; None, where there is no card, counts all.
    """
    counted = [one for one in scored if not one.row.centred]
    main = [one for one in counted if taught is None or one.target in taught]
    never = [one for one in counted if taught is not None and one.target not in taught]
    usual, present = partial(_pick, usual=True), partial(_pick, usual=True, kind="present")
    centred = _pick([one for one in scored if one.row.centred], usual=True, kind="present")
    targets = dict(sorted(grouped(present(counted), lambda one: one.target).items()))
    macro = partial(_macro, min_masks=min_masks, seed=seed)
    return {
        "macro": macro(present(main)),
        "existence": _existence(usual(main), seed),
        "targets": {
            name: {**_cases(some, seed), "taught": None if taught is None else name in taught}
            for name, some in targets.items()
        },
        "modalities": {
            name or "unknown": _cases(some, seed)
            for name, some in sorted(grouped(present(main), lambda one: one.row.modality).items())
        },
        "bands": {name: _cases([one for one in present(main) if band(one.area) == name], seed) for name in BANDS},
        "never_taught": {"macro": macro(present(never)), "existence": _existence(usual(never), seed)},
        "other_phrasings": {
            "macro": macro(_pick(main, usual=False, kind="present")),
            "asked": len(_pick(counted, usual=False)),
        },
        "centred_crops": _cases(centred, seed),
        "empty": _empty(usual(counted)),
        "volumes": volume_summary(counted, taught, seed=seed),
        "how": {
            "min_masks": min_masks,
            "nsd": f"borders within {TOLERANCE:g} mm, or px where spacing is unknown; 0 where nothing was found",
            "hd95": "of masks where something was found",
            "lesions": f"objects paired one to one from an IoU of {SAME_OBJECT:g} on, counted over all masks",
            "intervals": f"{LEVEL:.0%}, bootstrap by group, {RESAMPLES} resamples",
            "macro": "mean over targets of the mean over their masks"
            + ("" if taught is None else "; targets that the card says were taught"),
        },
    }


def _pick(scored: Sequence[Scored], usual: bool, kind: str | None = None) -> list[Scored]:
    return [one for one in scored if one.usual == usual and kind in (None, one.kind)]


def _cases(some: Sequence[Scored], seed: int) -> Numbers:
    """Of present objects that belong together."""
    small = [one for one in some if one.area < SMALL]
    borders = [(one.border, one.in_mm) for one in some if one.border]
    objects = sum((one.objects for one in some if one.objects), Objects(0, 0, 0))
    dices = _dices(some)
    return {
        "n": len(some),
        "groups": len({one.row.group for one in some}),
        "dice": mean(dices),
        "dice_interval": interval(groups(some), lambda weights: weighted(dices, weights), seed),
        "n_small": len(small),
        "dice_small": mean(_dices(small)),
        # without a mask there is no border: none of the true one is right
        "nsd": mean([one.border.nsd if one.border else 0.0 for one in some]),
        "hd95_px": mean([border.hd95 for border, in_mm in borders if not in_mm]),
        "hd95_mm": mean([border.hd95 for border, in_mm in borders if in_mm]),
        "missed": sum(not one.claimed for one in some),
        "lesions": {"precision": objects.precision, "recall": objects.recall, "f1": objects.f1},
        "existence": mean([one.existence for one in some]),
    }


def _macro(some: Sequence[Scored], min_masks: int, seed: int) -> Numbers:
    """Means over targets with enough masks, large ones and small ones counted for themselves."""
    small = [one for one in some if one.area < SMALL]
    by_target, by_small = _enough(some, min_masks), _enough(small, min_masks)
    cases = [_cases(mine, seed) for mine in by_target.values()]
    return {
        "dice": _macro_dice(by_target),
        "dice_interval": _macro_interval(by_target, seed),
        "targets": len(by_target),
        "n": sum(map(len, by_target.values())),
        "dice_small": _macro_dice(by_small),
        "dice_small_interval": _macro_interval(by_small, seed),
        "targets_small": len(by_small),
        "n_small": sum(map(len, by_small.values())),
        "dice_large": _macro_dice(_enough([one for one in some if one.area >= SMALL], min_masks)),
        **{name: mean([one[name] for one in cases]) for name in ("nsd", "hd95_px", "hd95_mm")},
        "lesion_f1": mean([one["lesions"]["f1"] for one in cases]),
    }


def _enough(some: Sequence[Scored], min_masks: int) -> dict[str, list[Scored]]:
    return {name: mine for name, mine in grouped(some, lambda one: one.target).items() if len(mine) >= min_masks}


def _macro_dice(by_target: dict[str, list[Scored]]) -> float | None:
    return mean([mean(_dices(mine)) for mine in by_target.values()])


def _macro_interval(by_target: dict[str, list[Scored]], seed: int) -> list[float] | None:
    some = [one for mine in by_target.values() for one in mine]
    return macro_interval([one.target for one in some], groups(some), _dices(some), seed)


def _existence(some: Sequence[Scored], seed: int) -> Numbers:
    """How well the claim that something is there tells present objects from absent ones, easy and hard."""
    present = _pick(some, usual=True, kind="present")
    facts: Numbers = {"n_present": len(present), "found_present": mean([float(one.claimed) for one in present])}
    for kind in ("easy", "hard"):
        absent = _pick(some, usual=True, kind=kind)
        both = [*present, *absent]
        scores = np.array([one.existence for one in both])
        truth = np.array([one.kind == "present" for one in both], bool)
        facts[f"auroc_{kind}"] = auroc(scores, truth)
        facts[f"auroc_{kind}_interval"] = (
            interval(groups(both), partial(auroc, scores, truth), seed) if present and absent else None
        )
        facts[f"n_{kind}"] = len(absent)
        facts[f"found_{kind}"] = mean([float(one.claimed) for one in absent])
    asked = [one for one in some if one.kind in ("present", "easy", "hard")]
    facts["calibration"] = calibration(
        np.array([one.existence for one in asked]), np.array([one.kind == "present" for one in asked], bool)
    )
    return facts


def _empty(some: Sequence[Scored]) -> Numbers:
    """Where nothing is to be found: no Dice, but how often nothing was marked."""
    absent = [one for one in some if one.kind != "present"]
    return {
        "n": len(absent),
        "left_empty": sum(not one.claimed for one in absent),
        "listed_with_empty_mask": sum(one.kind == "empty" for one in absent),
    }


def _dices(some: Sequence[Scored]) -> list[float]:
    return [one.dice for one in some if one.dice is not None]


def groups(some: Sequence[Scored]) -> list[str]:
    """Whose case each is."""
    return [one.row.group for one in some]
