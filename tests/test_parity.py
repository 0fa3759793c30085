"""The recorded numbers of the reference are ours, and the replay notices when they are not."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from boltzformer.errors import CheckpointError
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import biomedparse_v2, focal_l, hiera_bp, hiera_s
from boltzformer.weights.parity import replay, summarize

HERE = Path(__file__).parent
GOLDENS = HERE / "goldens"
SHARED = HERE / "../../shared/parity"
PUBLISHED = {
    "biomedparse_v2": biomedparse_v2,
    "boltzformer_focal-l": focal_l,
    "boltzformer_hiera-s": hiera_s,
    "boltzformer_hiera-bp": hiera_bp,
}


def test_the_recordings_in_this_repository_are_reproduced():
    rows = list(replay(GOLDENS))
    assert [row for row in rows if not row.passed] == []
    summary = summarize(rows)
    files = list(GOLDENS.glob("*.safetensors"))
    assert summary.files == summary.files_passed == len(files)
    assert summary.tensors == summary.tensors_passed == sum(recorded_outputs(path) for path in files)
    assert summary.passed
    assert {row.way for row in rows} == {"dense", "fast"}


@pytest.mark.skipif(not SHARED.exists(), reason="the whole parity data is not beside this checkout")
def test_all_recordings_are_reproduced():
    rows = list(replay(SHARED / "goldens"))
    assert [row for row in rows if not row.passed] == []
    assert summarize(rows).tensors == sum(recorded_outputs(path) for path in (SHARED / "goldens").glob("*.safetensors"))


def recorded_outputs(path: Path) -> int:
    return sum(name.startswith("outputs/") for name in load_file(path))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_preset_has_exactly_the_published_names_and_shapes(name):
    with torch.device("meta"):
        state = BoltzFormer(PUBLISHED[name]()).state_dict()
    published = json.loads((HERE / "keys" / f"{name}.json").read_text("utf-8"))
    assert {key: list(tensor.shape) for key, tensor in state.items()} == published


@pytest.mark.skipif(not SHARED.exists(), reason="the whole parity data is not beside this checkout")
@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts_and_stored_statistics_are_the_published_ones(name):
    with torch.device("meta"):
        model = BoltzFormer(PUBLISHED[name]())
    info = json.loads((SHARED / "keys" / f"{name}.json").read_text("utf-8"))
    assert sum(p.numel() for p in model.parameters()) == info["counts"]["total_parameters"]
    assert len(model.state_dict()) == info["counts"]["n_state_entries"]
    stored = info.get("buffer_values") or info["plain_attributes_not_in_state"]
    for key in ("pixel_mean", "pixel_std"):
        assert getattr(model, key).flatten().tolist() == pytest.approx(stored[key], abs=1e-6)


def copied(tmp_path: Path, name: str) -> Path:
    for ending in (".safetensors", ".json"):
        shutil.copy(GOLDENS / f"{name}{ending}", tmp_path / f"{name}{ending}")
    return tmp_path / f"{name}.safetensors"


def test_a_wrong_number_is_a_miss(tmp_path):
    path = copied(tmp_path, "v2_pigma")
    tensors = load_file(path)
    tensors["outputs/result"][0, 0, 3, 3] += 1e-3
    save_file(tensors, path)
    (row,) = replay(tmp_path)
    assert not row.passed
    assert row.error == pytest.approx(1e-3, rel=1e-2)
    assert str(summarize([row])) == "0 of 1 tensors, 0 of 1 files"


def test_a_nan_is_a_miss(tmp_path):
    path = copied(tmp_path, "v2_pigma")
    tensors = load_file(path)
    tensors["outputs/result"][0, 0, 3, 3] = torch.nan
    save_file(tensors, path)
    assert [row.passed for row in replay(tmp_path)] == [False]


def test_an_output_that_nobody_computes_is_a_miss(tmp_path):
    path = copied(tmp_path, "v2_pigma")
    save_file({**load_file(path), "outputs/second_result": torch.zeros(2)}, path)
    verdicts = {row.tensor: (row.passed, row.note) for row in replay(tmp_path)}
    assert verdicts == {"outputs/result": (True, ""), "outputs/second_result": (False, "not computed")}


def test_a_weight_that_does_not_fit_makes_all_tensors_misses(tmp_path):
    path = copied(tmp_path, "language_encoder")
    tensors = load_file(path)
    del tensors["state/lang_proj"]
    save_file(tensors, path)
    rows = list(replay(tmp_path))
    assert len(rows) == recorded_outputs(path)
    assert all(not row.passed and "lang_proj" in row.note for row in rows)


def test_a_wrong_mask_fails_its_file(tmp_path):
    path = copied(tmp_path, "v1_decoder_boltz_thr06")
    tensors = load_file(path)
    tensors["replay/applied_mask_0"] = ~tensors["replay/applied_mask_0"]
    save_file(tensors, path)
    summary = summarize(replay(tmp_path))
    assert summary.tensors_passed == summary.tensors
    assert summary.files_passed == 0
    assert not summary.passed


def test_an_unknown_recording_is_a_miss(tmp_path):
    renamed = copied(tmp_path, "v2_pigma").rename(tmp_path / "v9_pigma.safetensors")
    renamed.with_name("v2_pigma.json").rename(renamed.with_suffix(".json"))
    (row,) = replay(tmp_path)
    assert not row.passed
    assert "v9_pigma" in row.note


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="no recorded tensors"):
        list(replay(tmp_path))


def test_a_norm_with_another_eps_is_noticed(monkeypatch):
    from boltzformer.model import hiera

    monkeypatch.setattr(hiera, "EPS", 3e-6)
    rows = [row for row in replay(GOLDENS) if row.file == "hiera_smallvar"]
    assert any(not row.passed for row in rows)


def test_version_1_does_not_store_pixel_statistics():
    with torch.device("meta"):
        names = BoltzFormer(replace(hiera_s())).state_dict()
    assert "pixel_mean" not in names
