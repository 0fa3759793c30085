"""`boltzformer dataset …`: annotated images into a dataset, out of it, and whether all is well in between."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, replace
from itertools import chain, islice
from pathlib import Path
from typing import Annotated

import typer

from boltzformer.dataset import SPLITS, Dataset, Entry, check, repair
from boltzformer.dataset.check import STALE
from boltzformer.dataset.index import is_current
from boltzformer.dataset.layouts import (
    Incoming,
    read_biomedparse,
    read_nnunet,
    read_pair,
    read_pairs,
    read_rows,
    take_in,
    write_biomedparse,
    write_cvpr25,
    write_manifest,
    write_nnunet,
    write_rex,
)
from boltzformer.errors import DatasetError
from boltzformer.speaking import say

dataset = typer.Typer(help="Annotated images, kept for training and never lost.", no_args_is_help=True)
Place = Annotated[Path, typer.Argument(help="The dataset's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable, on standard output.")]


@dataset.command("add")
def add(
    place: Annotated[Path, typer.Argument(help="The dataset's folder; made if it is new or empty.")],
    source: Annotated[Path, typer.Argument(help="One image (with --mask), a folder, or a manifest.jsonl.")],
    mask: Annotated[list[Path] | None, typer.Option(help="The mask of one image; may be given several times.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="What a mask's value means, e.g. '1=lung nodule'; may be repeated.")
    ] = None,
    layout: Annotated[str, typer.Option(help="auto, pairs, manifest, nnunet or biomedparse.")] = "auto",
    modality: Annotated[str, typer.Option(help="CT, MR, …, where the files don't say it.")] = "",
    channel: Annotated[int, typer.Option(help="Which channel of an nnU-Net dataset.")] = 0,
    patient: Annotated[str, typer.Option(help="Who all of it is of; kept only as a salted hash.")] = "",
    patient_pattern: Annotated[
        str, typer.Option(help="Regular expression whose first group finds the patient in a file's name.")
    ] = "",
    split: Annotated[str, typer.Option(help="train, validation or test, for patients who are new; else drawn.")] = "",
    reference: Annotated[bool, typer.Option("--reference", help="Leave images where they are.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take in annotated images; all their slices count as reviewed. Adding the same again changes nothing."""
    if split and split not in SPLITS:
        raise DatasetError(f"There is no split '{split}': choose one of {', '.join(SPLITS)}.")
    names = dict(_label(text) for text in label or ())
    if mask:
        several: Iterable[Incoming] = [read_pair(source, dict.fromkeys(mask, ""), names, modality=modality)]
    else:
        several = _incoming(source, layout, names, modality, channel, patient_pattern)
    if patient:
        several = (replace(one, patient=patient) for one in several)
    if split:
        several = (replace(one, split=split) for one in several)
    found = iter(several)
    first = tuple(islice(found, 1))  # what is refused as a whole is refused before a folder is made
    refused = added = 0
    store = Dataset.at(place)
    for one in take_in(store, chain(first, found), copy=not reference):
        added += one.revision is not None
        refused += one.revision is None
        where = "" if one.revision is None else one.revision.folder.parents[1].name
        if as_json:
            say(json.dumps({"what": one.what, "case": where, "error": one.error}))
        elif one.error:
            say(f"boltzformer: {one.what} was left out: {one.error}", err=True)
    if not as_json:
        more = f", {refused} left out" if refused else ""
        say(f"{added} taken in{more}; {place} holds {_several(len(store.entries()), 'case')}")
    if refused:
        raise typer.Exit(1)


@dataset.command("list")
def list_cases(place: Place, as_json: AsJson = False) -> None:
    """What a dataset holds, and what it lacks for training."""
    entries = Dataset(place).entries()
    if as_json:
        say(json.dumps({case: asdict(entry) for case, entry in entries.items()}))
        return
    for case, entry in entries.items():
        said = "; ".join(f"{label}: {_counts(states)}" for label, states in entry.labels.items())
        say(
            f"{case}  {entry.split:10}  {entry.modality or '?':4}  {_several(len(entry.revisions), 'revision')}  {said}"
        )
    say(_summary(entries.values()))


@dataset.command("check")
def check_all(
    place: Place,
    mend: Annotated[
        bool, typer.Option("--repair", help="Make indexes again, put damaged revisions aside; nothing is deleted.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read every byte and tell what is wrong. Exit code 1 if anything is."""
    opened = Dataset(place)
    if mend:
        for done in repair(opened):
            say(f"mended  {done.case or 'dataset'}: {done.what}", err=True)
    problems = list(check(opened))
    if [problem.what for problem in problems] == [STALE]:  # as after a kill; made from the cases, it loses nothing
        opened.refresh()
        if is_current(opened.path):
            say("mended  dataset: index.json was made again.", err=True)
            problems = []
    if as_json:
        say(json.dumps([asdict(problem) for problem in problems]))
    else:
        for problem in problems:
            say(f"{problem.case or 'dataset'}: {problem.what}")
        say(_several(len(problems), "problem") if problems else "all is well")
    if problems:
        raise typer.Exit(1)


@dataset.command("export")
def export(
    place: Place,
    target: Annotated[Path, typer.Argument(help="A new folder.")],
    layout: Annotated[str, typer.Option(help="nnunet, manifest, cvpr25, rex or biomedparse.")] = "nnunet",
) -> None:
    """Write the accepted slices for other programs; the split of the patients goes along."""
    opened = Dataset(place)
    match layout:
        case "nnunet":
            say(f"{_several(write_nnunet(opened, target), 'case')} in {target}")
        case "manifest":
            say(f"{_several(write_manifest(opened, target), 'line')} in {target / 'manifest.jsonl'}")
        case "cvpr25":
            say(f"{_several(write_cvpr25(opened, target), 'case')} in {target}")
        case "rex":
            say(f"{_several(write_rex(opened, target), 'scan')} in {target}")
        case "biomedparse":
            say(f"{_several(write_biomedparse(opened, target), 'mask')} in {target}")
        case _:
            raise DatasetError(
                f"There is no export layout '{layout}': choose nnunet, manifest, cvpr25, rex or biomedparse."
            )


@dataset.command("remove")
def remove(
    place: Place, cases: Annotated[list[str], typer.Argument(help="Case ids, as `dataset list` shows them.")]
) -> None:
    """Delete all that is kept of a case: image, revisions, drafts, cached features."""
    opened = Dataset(place)
    for case in cases:
        opened.remove(case)
        say(f"removed {case}; its patient keeps the side of the split, as a salted hash")


def _incoming(
    source: Path, layout: str, names: dict[int, str], modality: str, channel: int, pattern: str
) -> Iterable[Incoming]:
    found = _layout_of(source) if layout == "auto" else layout
    match found:
        case "manifest":
            return read_rows(source / "manifest.jsonl" if source.is_dir() else source)
        case "nnunet":
            return read_nnunet(source, channel=channel, pattern=pattern)
        case "biomedparse":
            return read_biomedparse(source, modality=modality, pattern=pattern)
        case "pairs":
            return read_pairs(source, names, modality=modality, pattern=pattern)
        case _:
            raise DatasetError(f"There is no layout '{layout}': choose pairs, manifest, nnunet or biomedparse.")


def _layout_of(source: Path) -> str:
    if not source.is_dir():
        if source.suffix == ".jsonl":
            return "manifest"
        raise DatasetError(f"{source} is no folder and no manifest.jsonl: name the mask of a single image with --mask.")
    if (source / "manifest.jsonl").is_file():
        return "manifest"
    if (source / "dataset.json").is_file() and (source / "imagesTr").is_dir():
        return "nnunet"
    processed = [source, *source.glob("processed*")]
    if any((root / f"{part}.json").is_file() for root in processed for part in ("train", "test")):
        return "biomedparse"
    return "pairs"


def _label(text: str) -> tuple[int, str]:
    value, equals, name = text.partition("=")
    if not equals:
        value, name = "1", text
    if not re.fullmatch(r"[0-9]{1,3}", value.strip()) or not 1 <= int(value) <= 255 or not name.strip():
        raise DatasetError(f"--label '{text}' is not VALUE=NAME: write e.g. --label '1=lung nodule'.")
    return int(value), name.strip()


def _counts(states: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in states.items()) or "nothing yet"


def _summary(entries: Iterable[Entry]) -> str:
    several = list(entries)
    sides = {split: len({entry.group for entry in several if entry.split == split}) for split in SPLITS}
    patients = ", ".join(f"{number} {split}" for split, number in sides.items() if number)
    people = _several(sum(sides.values()), "patient")
    return f"{_several(len(several), 'case')} of {people} ({patients or 'none yet'})"


def _several(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
