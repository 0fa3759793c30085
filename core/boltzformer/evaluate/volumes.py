"""Whole volumes: overlap in 3-D, marks in slices that hold nothing, what is claimed where nothing is; and what
the report says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np

from boltzformer.evaluate.evaluate import Scored
from boltzformer.evaluate.metrics import (
    SAME_OBJECT,
    TOLERANCE,
    InVolume,
    Objects,
    auroc,
    calibration,
    grouped,
    interval,
    macro_interval,
    mean,
    weighted,
)
from boltzformer.image.geometry import Array
from boltzformer.knowledge.card_text import in_range, number

Numbers = dict[str, Any]
Case = tuple[Scored, InVolume]


def volume_summary(scored: Sequence[Scored], taught: AbstractSet[str] | None, *, seed: int = 0) -> Numbers:
    """Of those questions that were asked of volumes, in their usual phrasing."""
    cases = [(one, one.volume) for one in scored if one.usual and one.volume is not None]
    present = [case for case in cases if case[0].kind == "present"]
    listed = [case for case in cases if case[0].kind in ("present", "empty")]
    absent = [case for case in cases if case[0].kind != "present"]
    known = [case for case in present if taught is None or case[0].target in taught]
    by_target = sorted(grouped(present, lambda case: case[0].target).items())
    targets = {name: _of(some, seed) for name, some in by_target}
    return {
        "n": len(present),
        "images": len({one.row.image for one, _ in cases}),
        "groups": len({one.row.group for one, _ in cases}),
        "macro": _macro(present, targets, seed),
        "taught": _macro(known, targets, seed),
        **_empty(listed, seed),
        **_existence(present, seed),
        "calibration": _calibration(listed),
        "targets": {
            name: {**one, "taught": None if taught is None else name in taught} for name, one in targets.items()
        },
        "absent": {
            **_absent(absent, seed),
            **{kind: _absent([c for c in absent if c[0].kind == kind], seed) for kind in ("empty", "easy", "hard")},
        },
        "cases": [_case(*case) for case in cases],
        "how": {
            "asked": "the usual phrasing, all slices, default thresholds; scored in 3-D on the image's own grid",
            "nsd": f"borders within {TOLERANCE:g} mm; 0 where nothing was found",
            "hd95": "of volumes where something was found",
            "volume_ratio": "claimed over true volume, median",
            "lesions": f"objects in 3-D, paired one to one from an IoU of {SAME_OBJECT:g} on",
            "empty_marked": "share of the slices without the object, in volumes with a mask, that are marked",
            "macro": "mean over all targets of the mean over their volumes; `taught`: over those that the card says",
        },
    }


def _of(some: Sequence[Case], seed: int) -> Numbers:
    """Of one target's volumes that hold it."""
    dices = _dices(some)
    objects = sum((one.objects for one, _ in some if one.objects), Objects(0, 0, 0))
    ratios = [volume.ratio for _, volume in some if volume.ratio is not None]
    return {
        "n": len(some),
        "groups": len({one.row.group for one, _ in some}),
        "dice": mean(dices),
        "dice_interval": interval(_groups(some), lambda weights: weighted(dices, weights), seed),
        # without a mask there is no border: none of the true one is right
        "nsd": mean([one.border.nsd if one.border else 0.0 for one, _ in some]),
        "hd95_mm": mean([one.border.hd95 for one, _ in some if one.border]),
        "volume_ratio": float(np.median(ratios)) if ratios else None,
        "lesions": {"precision": objects.precision, "recall": objects.recall, "f1": objects.f1},
        "missed": sum(not one.claimed for one, _ in some),
        **_empty(some, seed),
        **_existence(some, seed),
    }


def _macro(some: Sequence[Case], targets: Mapping[str, Numbers], seed: int) -> Numbers:
    """Means over the targets of these cases."""
    names = [one.target for one, _ in some]
    each = [targets[name] for name in dict.fromkeys(names)]
    return {
        "targets": len(each),
        "n": len(some),
        "dice": mean([one["dice"] for one in each]),
        "dice_interval": macro_interval(names, _groups(some), _dices(some), seed),
        **{name: mean([one[name] for one in each]) for name in ("nsd", "hd95_mm", "volume_ratio", "empty_marked")},
        **{f"lesion_{name}": mean([one["lesions"][name] for one in each]) for name in ("precision", "recall", "f1")},
        "existence_auroc": mean([one["existence_auroc"] for one in each]),
    }


def _empty(some: Sequence[Case], seed: int) -> Numbers:
    """Slices that hold nothing, of all these volumes together."""
    marked = np.array([volume.empty_marked for _, volume in some], float)
    empty = np.array([volume.empty for _, volume in some], float)

    def share(weights: Array) -> float | None:
        whole = float(weights @ empty)
        return float(weights @ marked) / whole if whole else None

    return {
        "empty_slices": int(empty.sum()),
        "empty_marked": share(np.ones(len(some))),
        "empty_marked_interval": interval(_groups(some), share, seed),
    }


def _existence(some: Sequence[Case], seed: int) -> Numbers:
    """How well the existence tells slices with the object from those without, over all slices together."""
    if not some:
        return {"existence_auroc": None, "existence_auroc_interval": None}
    scores = np.concatenate([volume.existence for _, volume in some])
    present = np.concatenate([volume.present for _, volume in some])
    lengths = [len(volume.present) for _, volume in some]
    return {
        "existence_auroc": auroc(scores, present),
        "existence_auroc_interval": interval(
            _groups(some), lambda weights: auroc(scores, present, np.repeat(weights, lengths)), seed
        ),
    }


def _calibration(some: Sequence[Case]) -> Numbers | None:
    """Over all slices of volumes with a mask together."""
    if not some:
        return None
    return calibration(*(np.concatenate([getattr(one, name) for _, one in some]) for name in ("existence", "present")))


def _absent(some: Sequence[Case], seed: int) -> Numbers:
    """Of questions for what is not in a volume at all."""
    marked = [float(one.claimed) for one, _ in some]
    ml = [volume.claimed_ml for _, volume in some]
    slices = sum(len(volume.marked) for _, volume in some)
    return {
        "n": len(some),
        "marked": mean(marked),
        "marked_interval": interval(_groups(some), lambda weights: weighted(marked, weights), seed),
        "ml": mean(ml),
        "ml_interval": interval(_groups(some), lambda weights: weighted(ml, weights), seed),
        "ml_of_marked": mean([value for value in ml if value]),
        "slices_marked": sum(volume.empty_marked for _, volume in some) / slices if slices else None,
    }


def _case(one: Scored, volume: InVolume) -> Numbers:
    return {
        "row": one.row.number if one.absent is None else None,
        "image": one.row.image.name,
        "target": one.target,
        "prompt": one.prompt,
        "kind": one.kind,
        "dice": one.dice,
        "nsd": one.border.nsd if one.border else 0.0 if one.kind == "present" else None,
        "hd95_mm": one.border.hd95 if one.border else None,
        "true_ml": volume.true_ml,
        "claimed_ml": volume.claimed_ml,
        "slices": len(volume.present),
        "empty_slices": volume.empty,
        "empty_marked": volume.empty_marked,
        "existence": one.existence,
    }


def _dices(some: Sequence[Case]) -> list[float]:
    return [one.dice for one, _ in some if one.dice is not None]


def _groups(some: Sequence[Case]) -> list[str]:
    return [one.row.group for one, _ in some]


def volume_lines(facts: Mapping[str, Any]) -> list[str]:
    """The `volumes` of an evaluation, for people; nothing where none was asked."""
    if not facts["images"]:
        return []
    macro, taught = facts["macro"], facts["taught"]
    head = f"{'':30}{'n':>4}{'groups':>7}{'Dice':>7}  {'95 %':13}{'NSD':>6}{'HD95 mm':>9}{'ratio':>7}{'P':>6}{'R':>6}"
    head += f"{'F1':>6}{'empty marked':>14}{'AUROC':>7}"
    apart = 0 < taught["targets"] < macro["targets"]
    return [
        "",
        f"Whole volumes, asked as a user would, scored in 3-D: Dice {number(macro['dice'])} "
        f"{in_range(macro['dice_interval'])}, mean over {macro['targets']} targets, {facts['n']} masks",
        *([f"of them taught: Dice {number(taught['dice'])}, {taught['targets']} targets"] if apart else []),
        f"Slices without the object that are marked: {_share(facts['empty_marked'])} of {facts['empty_slices']} "
        f"({in_range(facts['empty_marked_interval']) or 'no interval'}); existence, slice by slice: AUROC "
        f"{number(facts['existence_auroc'])} {in_range(facts['existence_auroc_interval'])}",
        *_absent_rows(facts["absent"]),
        *(["", "target, in volumes" + head[len("target, in volumes") :]] if facts["targets"] else []),
        *(_row(name, one) for name, one in facts["targets"].items()),
    ]


def _absent_rows(facts: Mapping[str, Any]) -> Sequence[str]:
    """The CVPR score ignores invented organs; ours does not."""
    kinds = [f"{facts[kind]['n']} {kind}" for kind in ("empty", "easy", "hard") if facts[kind]["n"]]
    if not facts["n"]:
        return ()
    return (
        f"Asked for what is not in the volume ({', '.join(kinds)}): marked in {_share(facts['marked'])}, "
        f"{facts['ml']:.1f} ml on average (the CVPR score ignores invented organs; ours does not)",
    )


def _row(name: str, one: Mapping[str, Any]) -> str:
    lesions = one["lesions"]
    shown = name + ("*" if one["taught"] is False else "")
    return (
        f"{shown[:29]:30}{one['n']:>4}{one['groups']:>7}{number(one['dice']):>7}  {in_range(one['dice_interval']):13}"
        f"{number(one['nsd']):>6}{_short(one['hd95_mm'], 1):>9}{_short(one['volume_ratio'], 2):>7}"
        f"{_short(lesions['precision'], 2):>6}{_short(lesions['recall'], 2):>6}{_short(lesions['f1'], 2):>6}"
        f"{_share(one['empty_marked']):>14}{_short(one['existence_auroc'], 2):>7}"
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _short(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
