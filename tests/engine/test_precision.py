"""The precision of the first pass: who chooses it, where it is told, and that what is drawn stays in float32."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from phantom_model import PHANTOM_MODEL
from torch import nn

import boltzformer
from boltzformer import Adjusted, Prediction
from boltzformer.cli.casework import place_like
from boltzformer.engine.devices import choose
from boltzformer.engine.reproduce import AFTER, reproduce
from boltzformer.io.phantom import BRIGHT, DARK, Phantom
from boltzformer.model import config as presets
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import LiteConfig, tiny
from boltzformer.model.text import ByteTokenizer

FAR = 2**-8
"""Of one rounding to bfloat16, as a share; features have gone through a few dozen."""
MOST = {"lite": 0.12}
"""Untrained inverted bottlenecks enlarge what they are given: an image that is rounded itself, and nothing else, moves
their coarsest map by 2 % in float32."""


@pytest.fixture(scope="module")
def rough() -> boltzformer.Engine:
    return boltzformer.load(PHANTOM_MODEL, device="cpu", dtype="bfloat16")


@pytest.fixture(scope="module")
def result(rough: boltzformer.Engine, small: Phantom) -> Prediction:
    return boltzformer.segment(small.volume, [BRIGHT, DARK], model=rough, slices=[5, 8, 9])


def told(result: Prediction) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(json.dumps(result.provenance))
    return facts


def flags(monkeypatch: pytest.MonkeyPatch, on: bool) -> None:
    """A processor with or without instructions for bfloat16."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: on)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: on)


def test_only_the_first_pass_is_rounded_and_provenance_says_so(rough: boltzformer.Engine, result: Prediction) -> None:
    assert (result.provenance["dtype"], result.provenance[AFTER]) == ("bfloat16", "float32")
    assert {tensor.dtype for tensor in rough.model.decoder.parameters()} == {torch.float32}
    products = [one for one in rough.model.backbone.modules() if isinstance(one, nn.Conv2d | nn.Linear)]
    assert {one.weight.dtype for one in products} == {torch.bfloat16}
    (state, *_) = next(iter(rough.features._kept.values())).values()
    assert {tensor.dtype for tensor in (*state.tokens.tokens, state.tokens.semantic)} == {torch.float32}


def test_the_same_bits_alone_and_beside_others(small: Phantom, result: Prediction) -> None:
    fresh = boltzformer.load(PHANTOM_MODEL, device="cpu", dtype="bfloat16")
    alone = boltzformer.segment(small.volume, DARK, model=fresh, slices=[8]).slices[0]
    beside = next(one for one in result.slices if one.index == 8)
    assert alone.logits[0].tobytes() == beside.logits[1].tobytes()
    assert alone.existence[0] == beside.existence[1]


def test_the_exact_weights_can_still_be_had(rough: boltzformer.Engine, result: Prediction) -> None:
    exact, again = boltzformer.load(PHANTOM_MODEL, device="cpu"), rough.weights()
    for name, tensor in exact.model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_a_reproduction_uses_the_recorded_precision(
    rough: boltzformer.Engine, small: Phantom, result: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags(monkeypatch, True)
    assert place_like(told(result), tiny()).dtype == torch.bfloat16
    assert place_like(told(result) | {"dtype": "float32"}, presets.hiera_s()).dtype == torch.float32
    events = list(reproduce(told(result), small.volume, rough))
    assert not [event for event in events if isinstance(event, Adjusted)]


def test_a_processor_without_the_instructions_says_so_in_one_sentence(
    rough: boltzformer.Engine, small: Phantom, result: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags(monkeypatch, False)
    assert place_like(told(result), tiny()).dtype == torch.bfloat16
    first = next(iter(reproduce(told(result), small.volume, rough)))
    assert first == Adjusted(
        "This processor has no instructions for bfloat16 and makes it up from float32", "Single voxels may change."
    )


def test_an_older_result_in_bfloat16_throughout_is_told_apart(
    rough: boltzformer.Engine, small: Phantom, result: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags(monkeypatch, True)
    facts = told(result)
    del facts[AFTER]
    first = next(iter(reproduce(facts, small.volume, rough)))
    assert first == Adjusted(f"{AFTER}: bfloat16 then, float32 here", "Single voxels may change.")


@pytest.mark.parametrize("name", ["biomedparse_v2", "focal_l", "hiera_s", "hiera_bp"])
def test_large_encoders_take_bfloat16_where_the_flags_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = getattr(presets, name)()
    flags(monkeypatch, True)
    assert choose("cpu", config=config).dtype == torch.bfloat16
    assert "instructions for bfloat16" in choose("cpu", config=config).why
    assert choose("cpu", config=config).in_words == "bfloat16 for encoder and pixel decoder, float32 after"
    assert choose("cpu", "float32", config).dtype == torch.float32
    assert choose("cpu", config=presets.default()).dtype == torch.float32
    flags(monkeypatch, False)
    assert choose("cpu", config=config).dtype == torch.float32


@pytest.mark.parametrize("kind", ["plain", "lite", "hiera", "focal"])
def test_every_encoder_sees_about_the_same_in_bfloat16(kind: str) -> None:
    small = {
        "plain": tiny().encoder,
        "lite": LiteConfig(),
        "hiera": presets.HieraConfig(width=24, stages=(1, 2, 2, 1), global_blocks=(4,)),
        "focal": presets.FocalConfig(),
    }[kind]
    config = replace(tiny(), encoder=small, decoder=replace(tiny().decoder, strides=(32, 16, 8)))
    torch.manual_seed(0)
    exact = BoltzFormer(config, ByteTokenizer()).eval()
    rough = BoltzFormer(config, ByteTokenizer()).eval()
    rough.load_state_dict(exact.state_dict())
    rough.round_first_pass()
    image = torch.rand(1, 3, 96, 96) * 255
    with torch.inference_mode():
        made, wanted = (one.encode_image(image).tokens for one in (rough, exact))
    for a, b in zip((*made.tokens, made.semantic), (*wanted.tokens, wanted.semantic), strict=True):
        assert 0 < float((a - b).norm() / b.norm()) < MOST.get(kind, 6 * FAR)
    assert made.semantic.is_contiguous()


def test_a_session_chooses_too(small: Phantom) -> None:
    with boltzformer.Session.local(PHANTOM_MODEL, device="cpu", precision="bfloat16", threads=1) as session:
        made = session.segment(small.volume, [BRIGHT, DARK], slices=[8]).result()
    assert (made.provenance["dtype"], made.provenance[AFTER]) == ("bfloat16", "float32")


def test_command_line_chooses_reproduces_and_refuses(
    small: Phantom, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from boltzformer import io
    from boltzformer.cli.cli import run

    image, model = tmp_path / "scan.nii.gz", ["--model", str(PHANTOM_MODEL)]
    io.write_volume(small.volume, image)
    call = ["segment", str(image), *model, "--slices", "8", "-p", BRIGHT, "--device", "cpu"]
    assert run([*call, "-o", str(tmp_path / "a"), "--precision", "int8"]) == 2
    assert "There is no precision 'int8'" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
    assert run([*call, "-o", str(tmp_path / "a"), "--precision", "bfloat16"]) == 0
    assert "bfloat16 for encoder and pixel decoder, float32 after" in capsys.readouterr().err
    (story,) = (tmp_path / "a").rglob("*provenance.json")
    assert json.loads(story.read_text("utf-8"))["dtype"] == "bfloat16"
    again = ["segment", str(image), *model, "--reproduce", str(story), "-o", str(tmp_path / "b")]
    assert run(again) == 0
    assert "reproduced: the same answers, bit for bit" in capsys.readouterr().err
    assert run(["info", *model]) == 0
    assert "precision here" in capsys.readouterr().out
