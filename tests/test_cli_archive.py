"""An archive's images from lists, shared out between machines, and what became of each."""

import json
from pathlib import Path

import pytest
from phantom_model import PHANTOM_MODEL

from boltzformer import io
from boltzformer.cli.archive import Shard, cases_of
from boltzformer.cli.cli import run
from boltzformer.errors import BoltzFormerError
from boltzformer.io.phantom import BRIGHT, phantom


def call(*arguments: object) -> int:
    return run(["segment", *map(str, arguments), "-p", BRIGHT, "--model", str(PHANTOM_MODEL)])


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Five images and a broken one; two of them share a name."""
    (tmp_path / "scans" / "b").mkdir(parents=True)
    for number, name in enumerate(("a0", "a1", "a2", "b/a2", "b/a4")):
        io.write_volume(phantom(number, (3, 40, 40), (BRIGHT,)).volume, tmp_path / "scans" / f"{name}.nii.gz")
    (tmp_path / "scans" / "a3.nii.gz").write_bytes(b"no image")
    return tmp_path / "scans"


def test_shares_together_are_the_archive_and_a_case_is_called_the_same_in_each(scans: Path, tmp_path: Path) -> None:
    whole = cases_of([scans], tmp_path / "out")
    parts = [cases_of([scans], tmp_path / "out", Shard.parse(f"{n}/4")) for n in range(1, 5)]
    assert sorted(case.name for part in parts for case in part) == sorted(case.name for case in whole)
    assert {case.path: case.name for part in parts for case in part} == {case.path: case.name for case in whole}
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert cases_of([scans], tmp_path / "out", Shard(9, 9)) == []


@pytest.mark.parametrize("wrong", ["", "0/3", "4/3", "1", "a/b", "1/0", "-1/3", "1/3/5"])
def test_a_share_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(BoltzFormerError, match="is no share"):
        Shard.parse(wrong)


def test_two_shares_into_one_folder_give_what_one_run_gives_and_tell_what_became_of_each(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(scans, "-o", tmp_path / "plain") == 3
    codes = [call(scans, "-o", tmp_path / "out", "--shard", f"{n}/2") for n in (1, 2)]
    assert sorted(codes) == [0, 3]
    assert "5 finished" not in capsys.readouterr().err
    told = [row for n in (1, 2) for row in rows(tmp_path / "out" / f"status-{n}-of-2.jsonl")]
    assert sorted(str(row["status"]) for row in told) == ["finished"] * 5 + ["quarantined"]
    (bad,) = (row for n in (1, 2) for row in told if row["status"] == "quarantined" and n == 1)
    (file,) = (tmp_path / "out").glob("quarantine-*.jsonl")
    assert [row["error"] for row in rows(file)] == [bad["error"]]
    assert "a3.nii.gz" in str(bad["error"])
    for mask in filter(Path.is_file, (tmp_path / "plain").rglob("*")):
        assert mask.read_bytes() == (tmp_path / "out" / mask.relative_to(tmp_path / "plain")).read_bytes()
    assert codes == [call(scans, "-o", tmp_path / "out", "--shard", f"{n}/2") for n in (1, 2)]
    told = [row for n in (1, 2) for row in rows(tmp_path / "out" / f"status-{n}-of-2.jsonl")]
    assert sorted(str(row["status"]) for row in told) == ["quarantined"] + ["skipped"] * 5


def test_a_mended_image_leaves_quarantine_and_the_only_case_of_a_share_is_quarantined_too(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    number = 1 + [case.path.name for case in cases_of([scans], tmp_path / "out")].index("a3.nii.gz")
    share = ["-o", tmp_path / "out", "--shard", f"{number}/6"]
    assert call(scans, *share) == 3
    assert (tmp_path / "out" / f"quarantine-{number}-of-6.jsonl").is_file()
    io.write_volume(phantom(9, (3, 40, 40), (BRIGHT,)).volume, scans / "a3.nii.gz", overwrite=True)
    assert call(scans, *share) == 0
    assert not list((tmp_path / "out").glob("quarantine*"))
    assert "\n1 volume: 1 finished; each one's line is in " in capsys.readouterr().err
    assert call(scans, "-o", tmp_path / "none", "--shard", "9/9") == 0
    assert "there are more shares than volumes" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_lists_and_manifests_name_images_beside_themselves(scans: Path, tmp_path: Path) -> None:
    (scans / "list.txt").write_text("# those that matter\n\na0.nii.gz\n b/a4.nii.gz \n", "utf-8")
    absolute = str(scans / "a1.nii.gz")
    lines = [{"image": "a0.nii.gz", "target": "x"}, {"image": "a0.nii.gz", "target": "y"}, {"image": absolute}]
    (scans / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    named = [case.name for case in cases_of([scans / "list.txt", scans / "list.jsonl"], tmp_path / "out")]
    assert named == ["a0", "a4", "a1"]
    assert call(scans / "list.txt", "-o", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a0", "a4"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.txt", b"# nothing\n", "names no image"),
        ("x.txt", b"\xff\xfe", "is no text"),
        ("x.jsonl", b'{"image": 3}\n', "a line that names no image"),
        ("x.jsonl", b"[1\n", "a line that names no image"),
        ("x.txt", None, "can't be read"),
    ],
)
def test_a_list_that_is_none_gets_a_sentence_and_nothing_is_written(
    name: str, content: bytes | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert call(tmp_path / name, "-o", tmp_path / "out") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_archive_needs_a_folder(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(scans, "-o", tmp_path / "mask.nii.gz", "--shard", "1/2") == 2
    assert "an archive needs a folder" in capsys.readouterr().err
    assert not (tmp_path / "mask.nii.gz").exists()
