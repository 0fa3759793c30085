"""A model's card as a text for people, in Markdown: beside the weights, and on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from boltzformer.knowledge.card import Card, Target

MISUSE = (
    "for diagnosis, for decisions about a patient, or for measurements that anybody relies on: it is no medical device",
    "on targets that it was never taught: it answers, but the answer means nothing",
    "without looking at every mask: it misses small objects and marks things that are not there",
)
TRUSTED = 0.5
"""3-D Dice on whole volumes from which a target may be trusted to be found."""
FAILURES = 8
"""So many of the worst targets are named."""

MEASURED = {
    "dice": "Dice",
    "dice_small": "of objects under 1 % of the image",
    "auroc_easy": "AUROC of existence against easy absent prompts",
    "auroc_hard": "against hard ones",
}
"""What a model file calls its numbers, and how a person does."""


def markdown(card: Card, name: str, licence: str, picture: str = "") -> str:
    """The whole card; `picture` is the name of one that shows failures, beside it."""
    parts = [
        f"# {name}",
        f"Licence of the weights: {licence or 'not stated'}. Research only, not for clinical use.",
        "## What it must not be used for",
        "\n".join(f"- {one}" for one in MISUSE),
        "## How good it is",
        *_first(card),
        card.split,
        *_results(card),
        *_calibration(card),
        "## Where it fails",
        _failures(card, picture),
        "## What it was taught",
        _targets(card),
        "## What it was made from",
        "Licences as read in the repositories named; they were not verified upstream.",
        _datasets(card),
        "## How it was made",
        "\n".join(f"- {key}: {value}" for key, value in card.run.items()) or "Not recorded.",
    ]
    return "\n\n".join(parts) + "\n"


def in_short(metrics: Mapping[str, float]) -> str:
    """The numbers that a model file itself carries, for a person."""
    return ", ".join(f"{MEASURED.get(name, name)} {number(value)}" for name, value in metrics.items())


def _first(card: Card) -> list[str]:
    """What a user of volumes wants to know before all else."""
    known = {name: one for name, one in card.in_volumes.items() if one.get("dice") is not None}
    if not known:
        return []
    trusted = {name for name, one in known.items() if one["dice"] >= TRUSTED}
    said = [
        f"{name} ({one['dice']:.2f} in {one['n']})"
        for name, one in sorted(known.items(), key=lambda pair: (-pair[1]["dice"], pair[0]))
        if name in trusted
    ]
    rest = sorted(known.keys() - trusted)
    return [
        f"**In whole volumes it may be trusted to find something of** (mean 3-D Dice of at least {TRUSTED:g}; in how "
        f"many volumes that was measured): {', '.join(said) or 'nothing that was measured'}. "
        + (f"Not of: {', '.join(rest)}. " if rest else "")
        + "Nothing else was measured in volumes."
    ]


def _results(card: Card) -> list[str]:
    if not card.metrics:
        return ["Not measured yet."]
    macro, existence, how = card.metrics["macro"], card.metrics["existence"], card.metrics["how"]
    bands = card.metrics["bands"]
    return [
        "\n".join(
            [
                f"- Dice, mean over {macro['targets']} targets with at least {how['min_masks']} masks: "
                f"{number(macro['dice'], macro['dice_interval'])}",
                f"- Dice of objects under 1 % of the image, {macro['targets_small']} targets: "
                f"{number(macro['dice_small'], macro['dice_small_interval'])}",
                *(
                    f"- Existence against {kind} absent prompts, AUROC: "
                    f"{number(existence[f'auroc_{kind}'], existence[f'auroc_{kind}_interval'])}"
                    for kind in ("easy", "hard")
                ),
                *(f"- Dice at {key} of the image: {number(one['dice'])} (n {one['n']})" for key, one in bands.items()),
                *_volumes(card.metrics.get("volumes", {})),
                f"- Intervals: {how['intervals']}. Of the mean: {how['macro']}.",
            ]
        )
    ]


def _volumes(facts: Mapping[str, Any]) -> list[str]:
    """Of whole volumes, asked as a user would."""
    if not facts.get("n"):
        return []
    macro, absent = facts["macro"], facts["absent"]
    return [
        f"- Dice of whole volumes in 3-D, mean over {macro['targets']} targets ({facts['n']} masks): "
        f"{number(macro['dice'], macro['dice_interval'])}; NSD {number(macro['nsd'])}",
        "- Slices of those volumes that don't hold the object and are marked all the same: "
        f"{number(facts['empty_marked'], facts['empty_marked_interval'])}",
        *(
            [
                f"- Asked of a volume for what is not in it: marked in {number(absent['marked'])} of {absent['n']} "
                f"questions, {absent['ml']:.1f} ml on average"
            ]
            if absent["n"]
            else []
        ),
    ]


def _calibration(card: Card) -> list[str]:
    """How far a score of existence can be taken at its word."""
    whole: Mapping[str, Any] = card.metrics.get("volumes", {})
    asked: Mapping[str, Any] = card.metrics.get("existence", {})
    kinds = {"pictures": asked.get("calibration"), "slices of volumes": whole.get("calibration")}
    told = {name: one for name, one in kinds.items() if one}
    if not told:
        return []
    steps = {name: {round(row["from"], 2): row for row in one["curve"]} for name, one in told.items()}
    rows = [
        (f"{low:.1f} to {low + 0.1:.1f}", *(_share_there(some.get(low)) for some in steps.values()))
        for low in sorted({low for some in steps.values() for low in some})
    ]
    errors = ", ".join(f"{one['error']:.3f} ({name})" for name, one in told.items())
    return [
        f"How often the object is there when existence has a score; mean distance of the two: {errors}.",
        table(("score", *told), rows),
    ]


def _share_there(row: Mapping[str, Any] | None) -> str:
    return "-" if row is None else f"{row['present']:.0%} of {row['n']}"


def _failures(card: Card, picture: str) -> str:
    measured = [one for one in card.targets if one.metrics.get("dice") is not None]
    worst = sorted(measured, key=lambda one: (one.metrics["dice"], one.name))[:FAILURES]
    lines = [
        f"- {one.name}: Dice {one.metrics['dice']:.2f}, {one.metrics['missed']} of {one.metrics['n']} missed altogether"
        for one in worst
    ]
    shown = [f"![failures]({picture})"] if picture else []
    return "\n".join([*(lines or ["Not measured yet."]), *shown])


def _targets(card: Card) -> str:
    rows = [_target(one) for one in sorted(card.targets, key=lambda one: (not one.taught, one.name))]
    head = (
        "target",
        "modality",
        "usual prompt",
        "masks",
        "groups",
        "with those held back",
        "taught",
        "n",
        "Dice",
        "of small ones",
    )
    return table(head, rows)


def _target(one: Target) -> Sequence[str]:
    m = one.metrics
    return (
        one.name,
        ", ".join(one.modalities),
        one.prompts[0] if one.prompts else "",
        str(one.masks),
        str(one.groups),
        str(one.all_groups),
        "yes" if one.taught else "barely",
        str(m.get("n", 0)),
        number(m.get("dice"), m.get("dice_interval")),
        number(m.get("dice_small")),
    )


def _datasets(card: Card) -> str:
    rows = [(one.name, one.licence, one.repository, str(one.masks), str(one.groups)) for one in card.datasets]
    return table(("data set", "licence", "found in", "masks", "groups"), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def number(value: float | None, interval: Sequence[float] | None = None) -> str:
    """0.512 (0.48 to 0.55)."""
    if value is None:
        return "-"
    return f"{value:.3f}" + (f" ({in_range(interval)})" if interval else "")


def in_range(interval: Sequence[float] | None) -> str:
    """0.48 to 0.55."""
    return "" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"


def facts(card: Card) -> Mapping[str, Any]:
    """The card in a few lines, for a list of a model's facts."""
    taught = sorted(one.name for one in card.targets if one.taught)
    barely = sorted(one.name for one in card.targets if not one.taught)
    shown: dict[str, Any] = {
        "taught": f"{len(taught)} targets: {', '.join(taught)}",
        "barely taught": ", ".join(barely),
        "split": card.split,
    }
    return {key: value for key, value in shown.items() if value}
