"""Models by name, the folders that are kept, and the search for prompts."""

import json
import shutil
from pathlib import Path

import pytest
from phantom_model import PHANTOM_MODEL

from boltzformer.cli.cli import run
from boltzformer.home import folder, home
from boltzformer.io.phantom import BRIGHT


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def model_copy(tmp_path: Path) -> Path:
    return Path(shutil.copy(PHANTOM_MODEL, tmp_path / "my model.safetensors"))


def test_a_model_is_imported_used_by_its_name_and_removed(
    model_copy: Path, small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "import", str(model_copy)]) == 0
    model_copy.unlink()
    capsys.readouterr()
    assert run(["models", "list", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["default", "my-model"]
    assert run(["segment", str(small_file), "-p", BRIGHT, "-o", str(tmp_path / "out"), "--model", "my-model"]) == 0
    assert run(["info", "--model", "my-model", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model file"] == str(folder("models") / "my-model.safetensors")
    assert run(["models", "remove", "my-model"]) == 0
    assert run(["segment", str(small_file), "-p", BRIGHT, "-o", str(tmp_path / "b"), "--model", "my-model"]) == 2
    assert "There is no model at my-model" in capsys.readouterr().err


def test_only_a_model_that_works_is_registered_and_a_name_only_once(
    model_copy: Path, tmp_path: Path, own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "half.safetensors").write_bytes(model_copy.read_bytes()[:-1000])
    cases = {
        ("models", "import", str(tmp_path / "half.safetensors")): "not a whole safetensors file",
        ("models", "import", str(tmp_path / "nowhere.safetensors")): "There is no model at",
        ("models", "import", str(model_copy), "--name", "default"): "comes with the program",
        ("models", "import", str(model_copy), "--name", "../x"): "can't name a model",
        ("models", "remove", "nobody"): "no registered model 'nobody'",
    }
    for arguments, words in cases.items():
        assert run(arguments) == 2, arguments
        assert words in capsys.readouterr().err
        assert not own_home.exists()
    assert run(["models", "import", str(model_copy), "--name", "a"]) == 0
    assert run(["models", "import", str(model_copy), "--name", "a"]) == 2
    assert run(["models", "import", str(model_copy), "--name", "a", "--overwrite"]) == 0
    assert [path.name for path in (own_home / "models").iterdir()] == ["a.safetensors"]


def test_clearing_the_cache_leaves_models_and_logs(own_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert home() == own_home
    assert run(["cache", "clear"]) == 0
    for name in ("cache/inner", "models", "logs"):
        (own_home / name).mkdir(parents=True)
        (own_home / name / "x").write_bytes(bytes(1_000_000))
    assert run(["cache", "clear"]) == 0
    assert "freed 1.0 MB" in capsys.readouterr().out
    assert [len(list((own_home / name).iterdir())) for name in ("cache", "models", "logs")] == [0, 1, 1]


def test_info_tells_what_a_slice_costs_here_and_where_things_are_kept(
    own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert 0 < facts["seconds_per_slice"] < 60
    assert facts["peak_mb"] is None or facts["peak_mb"] > facts["weights_mb"] > 1
    assert facts["folders"]["models"] == {"path": str(own_home / "models"), "mb": 0.0}
    assert run(["info"]) == 0
    assert "measured just now" in capsys.readouterr().out


def test_prompts_are_searched_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["prompts", "lung", "nodule", "--modality", "CT"]) == 0
    assert capsys.readouterr().out.startswith("lung nodule in chest CT ")
    assert run(["prompts", "lesion", "--json"]) == 0
    known = {one["prompt"]: one["model"] for one in json.loads(capsys.readouterr().out)}
    assert known["multiple sclerosis lesion in brain MRI FLAIR"].startswith("taught, Dice 0.")
    assert "never taught" in known.values()
    assert known["ischemic stroke lesion in brain MRI FLAIR"].startswith("taught, Dice 0.")  # only this model's words
    assert run(["prompts", "kidney", "--modality", "telepathy"]) == 2
    assert "no modality 'telepathy'" in capsys.readouterr().err


def test_info_lists_for_scripts_what_every_option_takes(
    model_copy: Path, small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "import", str(model_copy)]) == 0
    capsys.readouterr()
    assert run(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert set(facts["models"]) == {"default", "my-model"}
    assert facts["exit codes"]["2"].startswith("refused")
    (image,), many = [str(small_file)], facts["windows"]
    for window, format, plane in zip(many, facts["writes"], [*facts["planes"], *facts["planes"]], strict=False):
        if format.startswith("dcm") or format == "png":  # they need DICOM slices, or a single slice
            format = "nii.gz"
        how = ["--window", window, "--format", format, "--axis", plane, "--slices", "8", "--model", "my-model"]
        assert run(["segment", image, "-p", BRIGHT, "-o", str(tmp_path / window / format / plane), *how]) == 0, how
