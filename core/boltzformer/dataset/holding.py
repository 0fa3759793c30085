"""What a dataset or manifest holds for a fine-tuning, and what it lacks, in a sentence."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from boltzformer.dataset.held_back import ENOUGH_GROUPS, lacking
from boltzformer.dataset.store import Dataset
from boltzformer.errors import BoltzFormerError
from boltzformer.knowledge.manifest import SPLIT, read_manifest, read_split
from boltzformer.protocol import Holding

ENOUGH_SLICES = 10
"""With fewer judged slices a comparison of two models is chance."""


Judged = tuple[str, tuple[str, ...], tuple[str, ...]]
"""Group, targets that are there, targets that are not."""


def holding(source: Path) -> Holding:
    """Found without reading an image or a mask of a dataset. Cases kept for testing don't count."""
    if source.is_dir():
        cases = [case for case in Dataset(source).cases() if case.split != "test"]
        lessons = [one for case in cases for one in case.lessons if one.present or one.absent]
        prompts = {label: case.texts(label)[0] for case in reversed(cases) for label in case.states}
        flat = bool(cases) and all(case.grid.shape[case.axis] == 1 for case in cases)
        words = ("picture", "subject") if flat else ("slice", "patient")
        drawn = {case.group for case in cases if case.split == "validation"}
        judged = [(one.group, one.present, one.absent) for one in lessons]
        return _counted(judged, prompts, drawn, *words)
    if not source.is_file():
        raise BoltzFormerError(f"There is nothing at {source}: give the folder of a dataset, or a manifest (.jsonl).")
    rows = [row for row in read_manifest(source) if not row.centred]
    there: dict[Path, set[str]] = {}
    gone: dict[Path, set[str]] = {}
    for row in rows:
        (there if row.mask is not None else gone).setdefault(row.image, set()).add(row.target)
    groups = {row.image: row.group for row in rows}
    judged = [(groups[i], tuple(there.get(i, ())), tuple(gone.get(i, ()))) for i in groups]
    beside = source.with_name(SPLIT)
    named = {row.target: row.prompts[0] for row in reversed(rows)}
    return _counted(judged, named, read_split(beside) if beside.is_file() else (), "image", "group")


def _counted(judged: Iterable[Judged], prompts: dict[str, str], drawn: Collection[str], one: str, who: str) -> Holding:
    several = list(judged)
    shown: dict[str, set[str]] = {}
    targets: dict[str, int] = {}
    for group, present, _ in several:
        shown.setdefault(group, set()).update(present)
        for name in present:
            targets[name] = targets.get(name, 0) + 1
    groups, lacks = len(shown), lacking(shown, drawn, prompts, who)
    many = len(several) >= ENOUGH_SLICES and groups >= ENOUGH_GROUPS
    enough = many and not lacks
    held = f"{_number(len(several), f'accepted {one}')} of {_number(groups, who)}"
    if not several:
        sentence = f"No {one} is accepted yet: accept at least one with an object before you fine-tune."
    elif not targets:
        sentence = f"{held}, and all of them say that nothing is there: accept at least one {one} with an object."
    elif enough:
        sentence = f"{held}: enough to tell whether a new model is better."
    elif many:
        sentence = f"{held}. To tell whether a new model is better, accept {lacks}."
    else:
        sentence = (
            f"{held}: {ENOUGH_SLICES} {one}s and {ENOUGH_GROUPS} {who}s are needed to tell whether a new model is "
            "better."
        )
    empty = sum(not present for _, present, _ in several)
    return Holding(
        *(len(several), groups, empty, sentence, enough),
        *(dict(sorted(targets.items())), dict(sorted(prompts.items())), lacks),
    )


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
