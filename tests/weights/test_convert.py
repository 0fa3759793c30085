"""Published weights become a model file of our own: every name explained, every number kept, nothing run."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from synthetic import lightning, random_state

from boltzformer.cli.cli import run
from boltzformer.errors import CheckpointError
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import ModelConfig
from boltzformer.model.decoder import Noise
from boltzformer.weights import checkpoint, registry
from boltzformer.weights.checkpoint import UNTRAINED
from boltzformer.weights.convert import Origin, convert
from boltzformer.weights.convert.tables import LAYOUTS
from boltzformer.weights.parity.golden import Golden
from boltzformer.weights.parity.models import model_config

HERE = Path(__file__).parents[1]
GOLDENS, SHARED = HERE / "goldens", HERE / "../../shared/parity/goldens"
WHOLE_MODELS = {
    "v1_e2e_focal_boltz": 1,
    "v1_e2e_focal_det_thr05": 1,
    "v1_e2e_focal_pigma_1024": 1,
    "v1_e2e_hiera_det_thr05": 1,
    "v2_e2e_3d_boltz": 2,
    "v2_e2e_3d_det_thr05": 2,
    "v2_e2e_3d_single_slice": 2,
}


def config_of(golden: Golden, version: int) -> ModelConfig:
    image = "volume" if version == 2 else "image"
    return model_config(golden.config, version, max(golden.input(image).shape[-2:]))


@pytest.fixture(scope="module")
def golden() -> Golden:
    """A whole model of the reference, version 2, small."""
    return Golden(GOLDENS / "v2_e2e_3d_boltz.safetensors")


@pytest.fixture(scope="module")
def config(golden) -> ModelConfig:
    return config_of(golden, 2)


@pytest.fixture
def source(golden, tmp_path) -> Path:
    return lightning(golden.state, tmp_path / "epoch=9.ckpt")


@pytest.mark.parametrize("name", WHOLE_MODELS)
@pytest.mark.parametrize("kind", ["lightning", "safetensors"])
def test_the_recorded_models_of_the_reference_pass_through(name, kind, tmp_path):
    place = GOLDENS if (GOLDENS / f"{name}.safetensors").is_file() else SHARED
    if not place.is_dir():
        pytest.skip("the whole parity data is not beside this checkout")
    golden = Golden(place / f"{name}.safetensors")
    if kind == "lightning":
        source = lightning(golden.state, tmp_path / "in.ckpt")
    else:
        save_file({name: tensor.contiguous() for name, tensor in golden.state.items()}, tmp_path / "in.safetensors")
        source = tmp_path / "in.safetensors"
    config = config_of(golden, WHOLE_MODELS[name])
    report = convert(source, tmp_path / "out.safetensors", config=config)
    model, about = checkpoint.load(tmp_path / "out.safetensors")
    loaded = model.state_dict()
    assert about.config == config
    assert report.loaded == len(golden.state) == len(loaded)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in golden.state.items())


def test_the_report_and_the_card_tell_what_was_left_out_and_whose_it_is(source, config, tmp_path):
    origin = Origin("clinic/liver:epoch=9.ckpt", "CC BY 4.0", "---\nlicense: cc-by-4.0\n---\n# Liver\nTheir words.\n")
    report = convert(source, tmp_path / "out.safetensors", origin=origin, name="liver", config=config)
    assert report.skipped["losses and metrics, used in training only"] == (
        "loss.pos_weight",
        "train_metrics.dice.total",
    )
    beside = report.skipped["kept by the training program, not part of the model"]
    assert {"optimizer_states", "hyper_parameters", "epoch"} <= set(beside)
    assert report.random == ()
    history = checkpoint.read(tmp_path / "out.safetensors").history
    assert (history.name, history.licence) == ("liver", "CC BY 4.0")
    assert history.notes["converted from"] == "clinic/liver:epoch=9.ckpt"
    card = (tmp_path / "out.md").read_text("utf-8")
    assert all(
        words in card for words in ("Licence: CC BY 4.0.", "Their words.", "loss.pos_weight", "optimizer_states")
    )


def test_wrappers_and_older_names_of_the_text_encoder_are_understood(golden, config, tmp_path):
    older = {
        "sem_seg_head.predictor.language_encoder.encoder_transformer.": (
            "sem_seg_head.predictor.lang_encoder.lang_encoder."
        ),
        "sem_seg_head.predictor.language_encoder.": "sem_seg_head.predictor.lang_encoder.",
    }
    state = {}
    for name, tensor in golden.state.items():
        before = next((old + name.removeprefix(new) for new, old in older.items() if name.startswith(new)), name)
        state[f"module._orig_mod.{before}"] = tensor
    torch.save(state, tmp_path / "in.pt")
    report = convert(tmp_path / "in.pt", tmp_path / "out.safetensors", config=config)
    assert report.loaded == len(golden.state)


def test_half_precision_weights_load_as_the_same_numbers(golden, config, tmp_path):
    torch.save({name: tensor.half() for name, tensor in golden.state.items()}, tmp_path / "in.pt")
    convert(tmp_path / "in.pt", tmp_path / "out.safetensors", config=config)
    loaded = checkpoint.load(tmp_path / "out.safetensors")[0].state_dict()
    assert all(torch.equal(loaded[name], tensor.half().float()) for name, tensor in golden.state.items())


def spoilt(golden: Golden, how: str) -> dict[str, torch.Tensor]:
    state, first = dict(golden.state), "pixel_mean"
    match how:
        case "lacks":
            del state[first]
        case "unexplained":
            state["backbone.extra.weight"] = torch.ones(3)
        case "shape":
            state[first] = torch.ones(7)
        case "integers":
            state[first] = state[first].long()
        case "infinite":
            state[first] = state[first] / 0
        case "twice":
            state[f"module.{first}"] = state[first]
    return state


@pytest.mark.parametrize(
    ("how", "words"),
    {
        "lacks": "it lacks pixel_mean",
        "unexplained": "it has, unexplained, backbone.extra.weight",
        "shape": r"it has the wrong shape at pixel_mean \(\(7,\) instead of \(1, 3, 1, 1\)\)",
        "integers": "it does not hold floating point numbers at pixel_mean",
        "infinite": "infinite or none",
        "twice": "it has twice pixel_mean and module.pixel_mean",
    }.items(),
)
def test_a_file_that_does_not_fit_key_for_key_is_refused_and_nothing_is_written(golden, config, how, words, tmp_path):
    torch.save({"state_dict": spoilt(golden, how)}, tmp_path / "in.ckpt")
    with pytest.raises(CheckpointError, match=words):
        convert(tmp_path / "in.ckpt", tmp_path / "out.safetensors", config=config)
    assert [path.name for path in tmp_path.iterdir()] == ["in.ckpt"]


def test_what_a_user_declares_foreign_is_left_out_and_told(golden, config, tmp_path):
    state = {f"model.{name}": tensor for name, tensor in golden.state.items()} | {"model.teacher.w": torch.ones(2)}
    torch.save({"state_dict": state}, tmp_path / "in.ckpt")
    with pytest.raises(CheckpointError, match=r"unexplained, model.teacher.w.*--skip"):
        convert(tmp_path / "in.ckpt", tmp_path / "out.safetensors", config=config)
    report = convert(tmp_path / "in.ckpt", tmp_path / "out.safetensors", config=config, skip=["model.teacher."])
    assert report.skipped["as asked"] == ("model.teacher.w",)
    assert report.loaded == len(golden.state)


def test_another_architecture_is_one_sentence(tmp_path, capsys, own_home):
    torch.save({"state_dict": {"conv1.weight": torch.ones(64, 3, 7, 7), "fc.bias": torch.ones(9)}}, tmp_path / "r.pth")
    assert run(["models", "import", str(tmp_path / "r.pth")]) == 2
    said = capsys.readouterr().err
    assert "another architecture (they begin with conv1.weight)" in said
    assert "biomedparse_v2" in said
    assert said.count("\n") == 1
    assert not own_home.exists()


def test_a_published_layout_with_one_missing_name_is_recognised_all_the_same(tmp_path):
    """Names decide, so shapes that take no memory will do."""
    keys = json.loads((HERE / "keys" / "biomedparse_v2.json").read_text("utf-8"))
    state = {f"model.{name}": torch.zeros(()).expand(shape) for name, shape in keys.items()}
    del state["model.pixel_mean"]
    torch.save({"state_dict": state}, tmp_path / "in.ckpt")
    with pytest.raises(CheckpointError, match="does not fit biomedparse_v2: it lacks pixel_mean"):
        convert(tmp_path / "in.ckpt", tmp_path / "out.safetensors")


def sam2(layout_name: str) -> dict[str, torch.Tensor]:
    layout = next(layout for layout in LAYOUTS if layout.name == layout_name)
    shapes = {f"image_encoder.{name.removeprefix('backbone.')}": list(shape) for name, shape in layout.shapes.items()}
    rest = ("maskmem_tpos_enc", "no_mem_embed", "memory_attention.norm.weight", "sam_mask_decoder.iou_token.weight")
    return random_state(shapes) | {name: torch.ones(4) for name in rest}


@pytest.mark.parametrize(
    "size",
    [pytest.param("small"), pytest.param("base+", marks=pytest.mark.slow)],
)
def test_sam2_gives_the_image_encoder_and_says_what_stays_random(size, tmp_path, capsys):
    state = sam2(f"sam2 hiera {size}")
    torch.save({"model": state}, tmp_path / "sam2.pt")
    out = tmp_path / "start.safetensors"
    assert run(["convert", str(tmp_path / "sam2.pt"), str(out), "--licence", "Apache-2.0"]) == 0
    said = capsys.readouterr().out
    assert f"read as sam2 hiera {size}" in said
    assert "left out, SAM 2's memory of video frames: maskmem_tpos_enc, no_mem_embed, memory_attention" in said
    assert "random until trained: sem_seg_head.pixel_decoder, sem_seg_head.predictor, output_deconv" in said
    assert f"--init {out}" in said
    assert UNTRAINED in checkpoint.read(out).history.data
    loaded = load_file(out)
    ours = {name.replace("image_encoder.", "backbone."): tensor for name, tensor in state.items()}
    assert all(torch.equal(loaded[name], ours[name]) for name in loaded if name.startswith("backbone."))


def test_a_file_of_other_sizes_is_imported_with_its_configuration_and_used_by_name(source, config, tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    told = ["--name", "mine", "--licence", "CC0-1.0", "--config", str(tmp_path / "config.json")]
    assert run(["models", "import", str(source)]) == 2
    assert "does not fit biomedparse_v2" in capsys.readouterr().err
    assert run(["models", "import", str(source), *told]) == 0
    said = capsys.readouterr().out
    assert "licence: CC0-1.0" in said
    assert "registered 'mine'" in said
    assert "Licence: CC0-1.0." in registry.registered()["mine"].with_suffix(".md").read_text("utf-8")
    assert registry.load("mine")[1].config == config
    assert run(["models", "remove", "mine"]) == 0
    assert not any(registry.registered().values())


def test_the_model_made_from_a_file_is_the_one_that_was_trained(golden, config, source, tmp_path):
    """The same answer as from the recorded weights put in directly."""
    convert(source, tmp_path / "out.safetensors", config=config)
    ours, _ = checkpoint.load(tmp_path / "out.safetensors")
    theirs = BoltzFormer(config).eval()
    theirs.load_state_dict(golden.state)
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 255
    words = [[1, 5, 7, config.text.vocabulary - 1]]
    with torch.no_grad():
        answers = [model(image, words, noise_of(model, image)).logits for model in (ours, theirs)]
    assert torch.equal(*answers)


def noise_of(model: BoltzFormer, image: torch.Tensor) -> Noise:
    """The same numbers for every model of these sizes."""
    tokens = model.encode_image(image).tokens
    return lambda layer: torch.rand(
        model.decoder.noise_shape(tokens, 1, layer), generator=torch.Generator().manual_seed(layer)
    )


def test_convert_does_not_replace_without_being_told(source, tmp_path, capsys):
    out = tmp_path / "out.safetensors"
    out.write_bytes(b"mine")
    assert run(["convert", str(source), str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert run(["convert", str(source), str(tmp_path / "out.pt")]) == 2
    assert "does not end in .safetensors" in capsys.readouterr().err
    assert out.read_bytes() == b"mine"
