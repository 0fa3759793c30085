"""A model file is whole, fits key for key, and is never executed; or it is refused with a sentence."""

import contextlib
import json
import pickle
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import boltzformer
from boltzformer.errors import CheckpointError
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import tiny
from boltzformer.model.text import TableTokenizer
from boltzformer.weights import checkpoint, registry
from boltzformer.weights.checkpoint import History


@pytest.fixture(scope="module")
def model() -> BoltzFormer:
    torch.manual_seed(0)
    return BoltzFormer(tiny()).eval()


@pytest.fixture(scope="module")
def whole(model: BoltzFormer, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "tiny.safetensors"
    return checkpoint.save(path, model, History(name="tiny")).path.read_bytes()


@pytest.fixture
def path(model: BoltzFormer, tmp_path: Path) -> Path:
    return checkpoint.save(tmp_path / "tiny.safetensors", model, History(name="tiny")).path


def rewritten(path: Path, change) -> Path:
    """The same file with other tensors."""
    state = load_file(path)
    with checkpoint.safe_open(path, framework="pt") as file:
        header = file.metadata()
    change(state)
    save_file(state, path, metadata=header)
    return path


def with_header(path: Path, **changes) -> Path:
    """The same file with other metadata."""
    with checkpoint.safe_open(path, framework="pt") as file:
        header = file.metadata()
    save_file(load_file(path), path, metadata={**header, **changes})
    return path


def test_what_is_saved_comes_back(model, tmp_path):
    history = History("liver", "tiny-1", "12 CTs of clinic A", {"dice": 0.81}, "Apache-2.0", {"calibration": [1, 2]})
    made = checkpoint.save(tmp_path / "new folder" / "liver.safetensors", model, history)
    loaded, read = checkpoint.load(made.path)
    assert read == made
    assert read.history == history
    assert read.config == loaded.config == model.config
    assert read.parameters == sum(p.numel() for p in model.state_dict().values())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    assert not loaded.training


def test_a_loaded_model_answers_as_the_saved_one(model, path):
    image, noise = torch.rand(1, 3, 96, 96) * 255, noise_for(model)
    with torch.no_grad():
        ours, theirs = (m(image, ["ms lesion"], noise).logits for m in (model, checkpoint.load(path)[0]))
    assert torch.equal(ours, theirs)


def noise_for(model: BoltzFormer):
    def noise(layer: int) -> torch.Tensor:
        grid = (96 // model.config.decoder.strides[layer % 3]) ** 2
        return torch.rand(1, 1, 1, 12, grid, generator=torch.Generator().manual_seed(layer))

    return noise


def test_a_loaded_model_can_be_trained(path):
    loaded, _ = checkpoint.load(path)
    assert any(parameter.requires_grad for parameter in loaded.parameters())
    assert all(not tensor.is_meta for tensor in [*loaded.parameters(), *loaded.buffers()])


def test_statistics_that_version_1_does_not_store_come_from_its_configuration(tmp_path):
    decoder = replace(tiny().decoder, version=1, existence=False)
    model = BoltzFormer(replace(tiny(), decoder=decoder, pixel_mean=(1.0, 2.0, 3.0)))
    loaded, _ = checkpoint.load(checkpoint.save(tmp_path / "m.safetensors", model, History()).path)
    assert loaded.pixel_mean.flatten().tolist() == [1, 2, 3]
    assert "pixel_mean" not in loaded.state_dict()


def test_half_precision_weights_are_widened(path):
    rewritten(path, lambda state: state.update({n: t.bfloat16() for n, t in state.items()}))
    loaded, _ = checkpoint.load(path)
    assert {tensor.dtype for tensor in loaded.state_dict().values()} == {torch.float32}


def test_a_tokenizer_travels_with_its_model(tmp_path):
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = Tokenizer(WordLevel({"liver": 0, "tumour": 1, "[UNK]": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    config = replace(tiny(), text=replace(tiny().text, tokenizer="clip"))
    model = BoltzFormer(config, TableTokenizer(words.to_str()))
    loaded, read = checkpoint.load(checkpoint.save(tmp_path / "m.safetensors", model, History()).path)
    assert json.loads(read.tokenizer)["model"]["type"] == "WordLevel"
    assert loaded.text.tokenize("liver tumour") == [0, 1]


def test_a_missing_key_is_named(path):
    rewritten(path, lambda state: state.pop("backbone.stem.conv.weight"))
    with pytest.raises(CheckpointError, match=r"lacks backbone\.stem\.conv\.weight"):
        checkpoint.load(path)


def test_an_extra_key_is_named(path):
    rewritten(path, lambda state: state.update(surprise=torch.zeros(1)))
    with pytest.raises(CheckpointError, match="unknown surprise"):
        checkpoint.load(path)


def test_a_wrong_shape_is_named_with_both_shapes(path):
    rewritten(path, lambda state: state.update({"backbone.stem.conv.weight": torch.zeros(2, 3)}))
    with pytest.raises(CheckpointError, match=r"backbone\.stem\.conv\.weight \(\(2, 3\) instead of \(8, 3, 3, 3\)\)"):
        checkpoint.load(path)


def test_integers_are_not_weights(path):
    rewritten(path, lambda s: s.update({"backbone.stem.norm.bias": torch.zeros(8, dtype=torch.int32)}))
    with pytest.raises(CheckpointError, match=r"floating point numbers at backbone\.stem\.norm\.bias"):
        checkpoint.load(path)


def test_of_many_wrong_keys_the_first_are_named_and_the_rest_counted(path):
    names = [name for name in load_file(path) if name.startswith("backbone.")]
    rewritten(path, lambda state: [state.pop(name) for name in names])
    with pytest.raises(CheckpointError, match=f"and {len(names) - checkpoint.SHOWN} more"):
        checkpoint.load(path)


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_refused_and_its_code_never_runs(tmp_path, zipped):
    bomb, target = tmp_path / "model.ckpt", tmp_path / "ran"
    if zipped:
        torch.save({"state_dict": Bomb(target)}, bomb)
    else:
        bomb.write_bytes(pickle.dumps({"state_dict": Bomb(target)}))
    with pytest.raises(CheckpointError, match=r"is a pickle.*\.safetensors"):
        checkpoint.load(bomb)
    assert not target.exists()


def test_a_git_lfs_pointer_is_recognised(tmp_path):
    pointer = tmp_path / "model.safetensors"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(CheckpointError, match="git lfs pull"):
        checkpoint.load(pointer)


@pytest.mark.parametrize("share", [0.0, 0.00001, 0.05, 0.5, 0.999])
def test_a_truncated_file_is_recognised(path, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        checkpoint.load(path)


def test_no_file_is_a_sentence(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(CheckpointError, match="no model at"):
            checkpoint.load(path)


def test_foreign_safetensors_are_refused(path):
    save_file(load_file(path), path)
    with pytest.raises(CheckpointError, match="does not say of which model"):
        checkpoint.load(path)


@pytest.mark.parametrize("config", ["{", "[]", '{"colour": 1}', '{"decoder": {"heads": 5}}'])
def test_a_wrong_description_is_refused(path, config):
    with pytest.raises(CheckpointError, match="describes its model wrongly"):
        checkpoint.load(with_header(path, config=config))


def test_a_wrong_history_is_refused(path):
    with pytest.raises(CheckpointError, match="describes its model wrongly"):
        checkpoint.read(with_header(path, history="[1]"))


def test_a_damaged_token_table_is_refused(path):
    with pytest.raises(CheckpointError, match="can't be built"):
        checkpoint.load(with_header(path, tokenizer='{"model": 3}'))


def test_a_header_of_garbage_is_refused(path):
    path.write_bytes(struct.pack("<Q", 10) + b"{not json}" + bytes(100))
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        checkpoint.load(path)


def test_a_failed_write_keeps_the_old_file_and_leaves_no_crumbs(model, path, monkeypatch):
    before = path.read_bytes()

    def full_disk(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(CheckpointError, match="No space left"):
        checkpoint.save(path, model, History(name="second"))
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_description_is_refused_or_harmless(whole, tmp_path, data):
    """Whichever byte changes, the only error is ours."""
    (length,) = struct.unpack("<Q", whole[:8])
    position = data.draw(st.integers(0, length + 7))
    damaged = bytearray(whole)
    damaged[position] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(damaged)
    with contextlib.suppress(CheckpointError):
        checkpoint.load(path)


def test_default_is_the_model_that_the_package_carries() -> None:
    about = checkpoint.read(registry.resolve("default"))
    assert about.path == Path(boltzformer.__file__).parent / "assets" / "default.safetensors"
    assert about.history.name
    assert about.history.data  # every place that names the model says what it was trained on
    assert boltzformer.load().about.sha256 == about.sha256  # who names no model gets this one
