"""What each mode leaves as it is, and what it teaches."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from finetune_runs import command, run
from torch import Tensor

from boltzformer.cli import cli
from boltzformer.errors import CheckpointError
from boltzformer.learn.finetune import adapters
from boltzformer.learn.finetune.asking import phrases_of, with_learnt
from boltzformer.learn.finetune.need import predict
from boltzformer.learn.finetune.options import Options, prepare
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.text import LearntPhrases
from boltzformer.weights import checkpoint
from boltzformer.weights.checkpoint import Checkpoint

IMAGE = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 255


def answers(model: BoltzFormer, *prompts: str) -> tuple[Tensor, Tensor]:
    """Mask and existence logits, with fixed noise."""
    with torch.no_grad():
        image = model.encode_image(IMAGE)
        text = model.encode_text(list(prompts))

        def noise(layer: int) -> Tensor:
            shape = model.decoder.noise_shape(image.tokens, len(prompts), layer)
            return torch.rand(shape, generator=torch.Generator().manual_seed(layer))

        answer = model.decode(image, text, noise)
    assert answer.existence is not None
    return answer.logits, answer.existence


@pytest.mark.slow
def test_existence_mode_leaves_mask_logits_as_they_are_bit_for_bit(tmp_path: Path, data: Path, base: Path) -> None:
    done = run(*command(data, base, tmp_path / "run", "--mode", "existence", "--steps", "6", "--batch", "4"))
    assert done.returncode == 0, done.stderr
    before, after = checkpoint.load(base)[0], checkpoint.load(tmp_path / "run" / "model.safetensors")[0]
    for prompt in ("cell nucleus", "fetal head in ultrasound"):
        (masks, claims), (masks_after, claims_after) = answers(before, prompt), answers(after, prompt)
        assert torch.equal(masks, masks_after)
        assert not torch.equal(claims, claims_after)


@pytest.mark.slow
def test_decoder_mode_keeps_both_encoders_and_the_cache_goes_with_them(tmp_path: Path, data: Path, base: Path) -> None:
    done = run(*command(data, base, tmp_path / "run", "--mode", "decoder", "--steps", "6", "--batch", "4"))
    assert done.returncode == 0, done.stderr
    before = checkpoint.load(base)[0].state_dict()
    after = checkpoint.load(tmp_path / "run" / "model.safetensors")[0].state_dict()
    for name, tensor in before.items():
        frozen = name.startswith("backbone.") or "language_encoder" in name
        assert torch.equal(after[name], tensor) or not frozen, name
    moved = [name for name, tensor in before.items() if not torch.equal(after[name], tensor)]
    assert any("pixel_decoder" in name for name in moved)
    assert any("transformer_cross" in name for name in moved)
    assert any(name.endswith("learnt_rows") for name in after)


@pytest.mark.slow
def test_lora_merges_exactly_and_its_adapter_knows_its_base(tmp_path: Path, data: Path, base: Path) -> None:
    done = run(*command(data, base, tmp_path / "run", "--mode", "lora", "--steps", "6", "--batch", "4"))
    assert done.returncode == 0, done.stderr
    adapters.join(tmp_path / "run" / "adapter.safetensors", base, tmp_path / "joined.safetensors")
    assert (tmp_path / "joined.safetensors").read_bytes() == (tmp_path / "run" / "model.safetensors").read_bytes()
    with pytest.raises(CheckpointError, match="another base model"):
        adapters.read_adapter(tmp_path / "run" / "adapter.safetensors", "0" * 64)


def test_a_merged_correction_gives_the_same_answers_to_a_millionth(base: Path) -> None:
    model, _ = checkpoint.load(base)
    plain, _ = checkpoint.load(base)
    adapters.adapt(model, 4, 0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".up"):
                parameter.normal_(0, 0.02, generator=torch.Generator().manual_seed(3))
    plain.load_state_dict(adapters.merged(model.state_dict()), strict=True)
    model.eval()
    for one, other in zip(answers(model, "fetal head"), answers(plain, "fetal head"), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
    untouched, _ = checkpoint.load(base)
    assert not torch.equal(answers(plain, "fetal head")[0], answers(untouched, "fetal head")[0])


def test_two_new_classes_give_different_masks_and_old_prompts_the_same(base: Path) -> None:
    model, about = checkpoint.load(base)
    lines = {name: phrases_of(name, [f"{name} in photograph"], []) for name in ("foot ulcer", "skin burn")}
    grown = with_learnt(model, about, lines, 0)
    assert torch.equal(answers(model, "fetal head in ultrasound")[0], answers(grown, "fetal head in ultrasound")[0])
    ulcer, burn = answers(grown, "foot ulcer")[0], answers(grown, "skin burn")[0]
    assert (ulcer - burn).abs().max() > 1e-3
    for mode in ("decoder", "lora", "full"):
        again = with_learnt(checkpoint.load(base)[0], about, lines, 0)
        prepare(again, mode)  # type: ignore[arg-type]
        assert again.text.learnt_rows.requires_grad


def test_learnt_phrases_are_known_inside_longer_prompts_but_take_nothing_from_others() -> None:
    line = phrases_of("lesion", ["lesion in OCT"], ["MS lesion in brain MRI"])
    known = LearntPhrases([line, "foot ulcer\nwound area"])
    assert known.named("A foot-ulcer, here") == 1
    assert known.named("wound area") == 1
    assert known.named("MS lesion in brain MRI") is None
    assert known.named("lesion") == 0
    assert known.named("Lesion in OCT") == 0
    assert known.named("foot ulcers") is None


def test_a_second_fine_tuning_keeps_the_rows_of_the_first(base: Path) -> None:
    model, about = checkpoint.load(base)
    first = with_learnt(model, about, {"a": "foot ulcer"}, 0)
    known = Checkpoint(about.path, first.config, about.history, about.tokenizer, about.parameters)
    second = with_learnt(first, known, {"a": "foot ulcer", "b": "skin burn"}, 1)
    assert second.config.text.learnt == ("foot ulcer", "skin burn")
    assert torch.equal(second.text.learnt_rows[0], first.text.learnt_rows[0])


def test_a_lighter_mode_needs_less_memory(base: Path) -> None:
    about = checkpoint.read(base)
    options = Options(Path("none"))

    def memory(mode: str, micro: int, shared: int = 1) -> int:
        recipe = options.recipe(about.config, mode, 10)  # type: ignore[arg-type]
        recipe = replace(recipe, side=64, batch=8, final=replace(recipe.final, share=0.0))
        found = predict(about, recipe, mode, micro=micro, speed=1e9, rank=8, half=False, shared=shared)  # type: ignore[arg-type]
        return found.memory

    assert memory("existence", 8) < memory("decoder", 8) < memory("full", 8)
    assert memory("full", 1) < memory("full", 8)
    assert memory("full", 8, 8) < memory("full", 8, 2) < memory("full", 8)


@pytest.mark.parametrize(
    ("mode", "said"),
    [("full", "is alone: begin with torchrun"), ("decoder", "--shard-model is for --mode full")],
)
def test_a_model_is_shared_out_among_several_processes_only_and_where_all_of_it_learns(
    mode: str, said: str, tmp_path: Path, data: Path, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["finetune", str(data), "--model", str(base), "-o", str(tmp_path / "run"), "--device", "cpu"]
    assert cli.run([*asked, "--mode", mode, "--shard-model"]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
