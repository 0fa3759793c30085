"""What README and documentation say is so: every number was measured, every command, option and file exists."""

import re
from pathlib import Path

import pytest
from documents import (
    ROOT,
    Number,
    documents,
    inline,
    is_measured,
    numbers,
    shell_lines,
    wrong_files,
    wrong_in_line,
    wrong_options,
)

from boltzformer.knowledge.manifest import part_of, read_manifest, read_split

DOCUMENTS = documents()
NAMES = [file.relative_to(ROOT).as_posix() for file in DOCUMENTS]
COMPARISON = "docs/concepts/comparison.md"
"""Its numbers are others', each with its source."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_every_command_that_a_document_names_is_there_with_its_options(document: Path) -> None:
    text = document.read_text("utf-8")
    assert [wrong for line in shell_lines(text) for wrong in wrong_in_line(line)] == []
    assert wrong_options(text) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_every_file_that_a_document_names_is_there(document: Path) -> None:
    assert wrong_files(document, document.read_text("utf-8")) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_every_number_in_prose_was_measured(document: Path) -> None:
    if document == ROOT / COMPARISON:
        return
    told = numbers(document.read_text("utf-8"))
    assert [f"{one.text} {one.unit}" for one in told if not is_measured(one)] == []


def test_the_page_of_results_tells_nothing_that_its_history_does_not() -> None:
    page, history = (ROOT / "benchmarks" / "RESULTS.md").read_text("utf-8").split("\n# History\n")
    known = {(float(one.text), one.unit.rstrip("s")) for one in numbers(history)}
    values = {value for value, _ in known}
    wrong = [one for one in numbers(page) if (float(one.text), one.unit.rstrip("s")) not in known]
    assert [f"{one.text} {one.unit}" for one in wrong if one.unit or float(one.text) not in values] == []
    assert len(page.splitlines()) < 150


def test_every_line_of_the_comparison_has_version_source_and_date() -> None:
    text = (ROOT / COMPARISON).read_text("utf-8")
    ours = text.index("## What ours has")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text[:ours].splitlines()
        if line.startswith("|") and not line.startswith(("| tool", "|---"))
    ]
    assert len(rows) > 10
    for row in rows:
        _, what, version, source, read = row
        assert what
        assert version
        assert "README at" in source or "our " in source
        assert re.fullmatch(r"2026-\d\d(-\d\d)?", read), row
    better = {row[0] for row in rows}
    assert better >= {
        "nnInteractive",
        "VoxTell",
        "BiomedParse v2",
        "MONAI Label",
        "TotalSegmentator",
        "micro-sam",
        "MedSAM2",
    }


def test_the_manifest_that_a_page_shows_is_read_as_the_page_says(tmp_path: Path) -> None:
    text = (ROOT / "docs/howto/score.md").read_text("utf-8")
    manifest, split = re.findall(r"^```json\n(.*?)^```", text, re.M | re.S)
    (tmp_path / "manifest.jsonl").write_text(manifest, encoding="utf-8")
    (tmp_path / "split.json").write_text(split, encoding="utf-8")
    there, absent = read_manifest(tmp_path / "manifest.jsonl")
    assert (there.mask, there.label, there.group) == (tmp_path / "mask-1.nii.gz", 1, "patient-1")
    assert absent.mask is None
    held_back = part_of((there, absent), read_split(tmp_path / "split.json"), "validation")
    assert held_back == (absent,)


def test_what_is_wrong_would_be_found() -> None:
    """Of each kind one mistake, so that the tests above can fail."""
    assert wrong_in_line("boltzformer segmnt scan.nii.gz") == ["boltzformer segmnt"]
    assert wrong_in_line("boltzformer models get x --nonsense") == ["boltzformer models get --nonsense"]
    assert wrong_in_line("torchrun --nnodes 4 -m boltzformer finetune x --wrong") == ["boltzformer finetune --wrong"]
    assert wrong_in_line("boltzformer segment scan.nii.gz -p liver -o masks --seed 3   # a comment --nothing") == []
    assert wrong_in_line("make nonsense") == ["make nonsense"]
    assert wrong_in_line(".venv/bin/python benchmarks/nothing.py") == ["benchmarks/nothing.py"]
    assert wrong_options("say `--here` or `--elsewhere`") == ["--elsewhere"]
    readme = ROOT / "README.md"
    assert wrong_files(readme, "[x](docs/nothing.md) and `model/nothing` and `model/boltzmann`") == [
        "docs/nothing.md",
        "model/nothing",
    ]
    told = numbers("Dice 0.9873 on 12345 patients in 0.600 of `0.111`, Python 3.11, and 77 %")
    assert told == [Number("0.9873", ""), Number("12345", "patients"), Number("0.600", ""), Number("77", "%")]
    assert [is_measured(one) for one in told[:3]] == [False, False, True]
    assert is_measured(Number("0.60", ""))
    assert not is_measured(Number("0.61234", ""))
    assert inline("a `b\nc` d") == ["b c"]
