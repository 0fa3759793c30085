"""What the report says of whole volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from boltzformer.knowledge.card_text import in_range, number


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
        *_absent(facts["absent"]),
        *(["", "target, in volumes" + head[len("target, in volumes") :]] if facts["targets"] else []),
        *(_row(name, one) for name, one in facts["targets"].items()),
    ]


def _absent(facts: Mapping[str, Any]) -> Sequence[str]:
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
