"""The main job from a terminal, and one sentence for whatever goes wrong."""

import gzip
import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from phantom_model import PHANTOM_MODEL
from safetensors.torch import load_file, save_file

from boltzformer import io
from boltzformer.cli.cli import run
from boltzformer.cli.finetune_cli import in_minutes
from boltzformer.io.phantom import BRIGHT, DARK, Phantom

MODEL = str(PHANTOM_MODEL)


def segment(*arguments: str) -> int:
    return run(["segment", *arguments, "--model", MODEL])


def test_segment_writes_a_mask_per_prompt_and_how_it_was_made(small: Phantom, small_file: Path, tmp_path: Path) -> None:
    assert segment(str(small_file), "-p", BRIGHT, "-p", DARK, "-o", str(tmp_path / "out")) == 0
    case = tmp_path / "out" / "small"
    assert sorted(path.name for path in case.iterdir()) == [
        "bright-blob.nii.gz",
        "dark-blob.nii.gz",
        "small.provenance.json",
    ]
    mask = io.read(case / "bright-blob.nii.gz")
    assert mask.grid.same_as(small.volume.grid)
    notes = json.loads((case / "small.provenance.json").read_text("utf-8"))
    assert (notes["prompts"], notes["seed"], notes["plan"]["plane"]) == ([BRIGHT, DARK], 0, "axial")
    assert "not trained on medical images" in notes["model"]["trained on"]


def test_the_same_seed_gives_the_same_file_and_json_tells_each_slice(
    small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        assert segment(str(small_file), "-p", BRIGHT, "-o", str(tmp_path / name), "--seed", "5", "--json") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events[:18]] == ["started", *["slice"] * 16, "finished"]
    assert events[:17] == events[18:35]
    a, b = (io.read(tmp_path / name).array for name in ("a.nii.gz", "b.nii.gz"))
    assert np.array_equal(a, b)


def test_a_png_comes_back_as_a_png_of_its_size(tmp_path: Path) -> None:
    from PIL import Image

    picture = np.random.default_rng(0).integers(0, 255, (70, 50), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "scan.png")
    assert segment(str(tmp_path / "scan.png"), "-p", BRIGHT, "-o", str(tmp_path / "mask.png")) == 0
    mask = np.asarray(Image.open(tmp_path / "mask.png"))
    assert mask.shape == (70, 50)
    assert set(np.unique(mask)) <= {0, 255}


def test_info_names_the_model_and_its_limits(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", "--json", "--model", MODEL]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert "not trained on medical images" in facts["trained on"]
    assert facts["notice"] == "Research only, not for clinical use."
    assert run(["--version"]) == 0


def test_a_person_reads_the_numbers_of_a_model_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", "--json", "--model", "default"]) == 0
    raw = json.loads(capsys.readouterr().out)
    assert set(raw["metrics"]) == {"dice", "dice_small", "auroc_easy", "auroc_hard"}
    assert run(["info", "--model", "default"]) == 0
    said = capsys.readouterr().out.split("\n\n")[0]
    assert f"Dice {raw['metrics']['dice']:.3f}, of objects under 1 % of the image" in said
    assert str(raw["metrics"]["dice"]) not in said
    assert "{" not in said
    assert "True" not in said


def test_how_long_a_fine_tuning_takes_is_said_as_a_person_does() -> None:
    assert [in_minutes(seconds) for seconds in (9, 61, 1980)] == ["less than a minute", "a minute", "33 minutes"]


def test_info_says_where_an_image_lies(small_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", str(small_file), "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert (facts["shape"], facts["plane"], facts["slices"]) == ([16, 72, 80], "axial", 16)
    assert run(["info", str(small_file)]) == 0
    assert "slices    axial, 16 along k" in capsys.readouterr().out


def test_window_and_axis_are_the_users_to_choose(small_file: Path, tmp_path: Path) -> None:
    how = ["--window", "400/100", "--axis", "sagittal"]
    assert segment(str(small_file), "-p", BRIGHT, "-o", str(tmp_path / "m.nrrd"), *how) == 0
    notes = json.loads((tmp_path / "m.provenance.json").read_text("utf-8"))
    assert notes["plan"]["plane"] == "sagittal"
    assert notes["window"]["kind"] == "custom 400/100"


def test_parity_compares_every_recorded_tensor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    goldens = Path(__file__).parent / "goldens"
    for suffix in (".safetensors", ".json"):
        shutil.copy(goldens / f"v2_pigma{suffix}", tmp_path)
    assert run(["parity", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("1 of 1 files")
    recorded = load_file(tmp_path / "v2_pigma.safetensors")
    name = next(name for name in recorded if name.startswith("outputs/"))
    save_file({**recorded, name: recorded[name] + 1}, tmp_path / "v2_pigma.safetensors")
    assert run(["parity", str(tmp_path)]) == 1
    assert "MISS" in capsys.readouterr().out


def test_bad_input_gets_one_sentence_exit_code_2_and_nothing_written(
    small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("I am a file")
    (tmp_path / "broken.nii.gz").write_bytes(small_file.read_bytes()[:2000])
    (tmp_path / "lies.png").write_text("no picture")
    (tmp_path / "scan.dcm").write_text("later")
    (tmp_path / "there.nii.gz").write_text("already here")
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "zero.nii").touch()
    (tmp_path / "wrong.nrrd").write_bytes(small_file.read_bytes())
    good, out = str(small_file), str(tmp_path / "out")
    cases = {
        ("segment", "nowhere.nii.gz", "-p", "x", "-o", out): "nowhere.nii.gz does not exist",
        ("segment", good, "-p", "x", "-o", out, "--wings", "2"): "No such option: --wings",
        ("segment", good, "-p", "x", "-o", str(tmp_path / "x.npy")): "can't hold masks",
        ("segment", good, "-p", "x", "-o", good, "--overwrite"): "is the image itself",
        ("segment", good, "-o", out): "Missing option '--prompt'",
        ("segment", good, "-p", "", "-o", out): "prompt is empty",
        ("segment", good, "-p", "x", "-o", out, "--model", "nowhere"): "no model at nowhere",
        ("segment", good, "-p", "x", "-o", out, "--model", good): "not a whole safetensors file",
        ("segment", str(tmp_path / "scan.dcm"), "-p", "x", "-o", out): "scan.dcm",
        ("segment", str(tmp_path / "empty"), "-p", "x", "-o", out): "empty",
        ("segment", str(tmp_path / "broken.nii.gz"), "-p", "x", "-o", out): "is damaged or ends too early",
        ("segment", str(tmp_path / "lies.png"), "-p", "x", "-o", out): "is no readable PNG file",
        ("segment", good, "-p", "x", "-o", str(tmp_path / "file" / "out")): "it is a file",
        ("segment", good, "-p", "x", "-o", str(tmp_path / "there.nii.gz")): "exists already",
        ("segment", good, "-p", "x", "-o", str(tmp_path / "mask.png")): "can't hold a volume of 16 slices",
        ("segment", good, "-p", "x", "-o", out, "--window", "liver"): "no window 'liver'",
        ("segment", good, "-p", "x", "-o", out, "--axis", "up"): "no plane 'up'",
        ("segment", good, "-p", "x", "-o", out, "--threshold", "1.5"): "--threshold 1.5 is no probability",
        ("segment", good, "-p", "x", "-o", out, "--threshold", "nan"): "--threshold nan is no probability",
        ("segment", good, "-p", "x", "-o", out, "--existence", "-0.1"): "--existence -0.1 is no probability",
        ("segment", good, "-p", "x", "-o", out, "--device", "abacus"): "no device 'abacus'",
        ("segment", good, "-p", "x", "-o", out, "--batch-size", "0"): "--batch-size 0 is none",
        ("segment", good, "-p", "x", "-o", out, "--samples", "0"): "--samples 0 is none",
        ("segment", good, "-p", "x", "-o", out, "--region", "1,2"): "can't be understood",
        (
            "segment",
            good,
            "-p",
            "x",
            "-o",
            out,
            "--region",
            "0,0,0:80,9,9",
        ): "no box of voxels in this image (80×72×16)",
        ("segment", good, "-p", "x", "-o", out, "--format", "gif"): "no format 'gif'",
        ("segment", good, "-p", "x", "-o", out, "--format", "dcm-seg"): "a DICOM-SEG refers to DICOM slices",
        ("segment", good, "-p", "x", "-o", out, "--format", "png"): "can't hold a volume of 16 slices",
        ("segment", good, "-p", "x", "-o", out, "--slices", "9:3"): "--slices 9:3 lies outside",
        ("segment", good, "-p", "x", "-o", out, "--slices", "a:b"): "can't be understood",
        ("segment", good, "-p", "x", "-o", out, "--smallest", "-1"): "--smallest needs",
        ("segment", good, "-p", "x", "-o", out, "--smooth", "2"): "no middle slice",
        ("segment", good, "-p", "x", "-p", "  ", "-o", out): "prompt is empty",
        ("segment", good, good, "-p", "x", "-o", good): "is the image itself",
        ("segment", good, str(tmp_path / "lies.png"), "-p", "x", "-o", str(tmp_path / "m.nii.gz")): "is one file",
        ("segment", good, "--reproduce", "nowhere.json", "-o", out): "nowhere.json could not be read",
        ("segment", good, "--reproduce", str(tmp_path / "list.json"), "-o", out): "does not tell how masks were made",
        ("segment", str(tmp_path / "zero.nii"), "-p", "x", "-o", out): "is empty (0 bytes)",
        ("segment", str(tmp_path / "wrong.nrrd"), "-p", "x", "-o", out): "is named like a NRRD file but holds NIfTI",
        ("segment", good, "-p", "x", "-o", out, "--series", "2"): "holds no series",
        ("segment", good, "-p", "x", "-o", out, "--frame", "2"): "has no frame 2",
        ("info", "nowhere.png"): "nowhere.png does not exist",
        ("parity", str(tmp_path / "empty")): "empty",
        ("fly",): "No such command",
    }
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    for arguments, words in cases.items():
        assert run(arguments) == 2, arguments
        said = capsys.readouterr().err.strip()
        assert words in said, arguments
        assert said.startswith("boltzformer: ")
        assert "\n" not in said
        assert sorted(tmp_path.rglob("*")) == before, arguments


def test_the_console_script_is_the_same_program(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-m", "boltzformer", "fly"], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == "boltzformer: No such command 'fly'. See: boltzformer --help\n"


def test_overlapping_prompts_become_one_file_each(small: Phantom, tmp_path: Path) -> None:
    layers = np.zeros((2, *small.volume.grid.shape), np.uint8)
    layers[0, 3:6], layers[1, 5:8] = 1, 2
    with pytest.warns(io.ImageWarning, match="file of its own"):
        both = io.write(type(small.labels)(layers, small.volume.grid, {1: "a b", 2: "c"}), tmp_path / "m.nii.gz")
    assert [path.name for path in both] == ["m__a_b.nii.gz", "m__c.nii.gz"]
    layers[1, 5] = 0
    (one,) = io.write(type(small.labels)(layers, small.volume.grid, {1: "a b", 2: "c"}), tmp_path / "n.nii.gz")
    assert set(np.unique(io.read(one).array)) == {0, 1, 2}


def test_a_mask_lies_like_its_nifti_image_in_programs_that_read_the_qform(small_file: Path, tmp_path: Path) -> None:
    packed = bytearray(gzip.decompress(small_file.read_bytes()))
    struct.pack_into("<hh", packed, 252, 1, 3)  # qform_code, sform_code
    struct.pack_into("<3f", packed, 268, -10.0, 20.0, 30.0)  # the qform's origin, unlike the sform's
    (tmp_path / "scan.nii").write_bytes(packed)
    assert segment(str(tmp_path / "scan.nii"), "-p", BRIGHT, "-o", str(tmp_path / "mask.nii")) == 0
    mask = (tmp_path / "mask.nii").read_bytes()
    for start, end in ((252, 256), (268, 328)):  # codes; origins, and the rows of the sform
        assert mask[start:end] == packed[start:end]
