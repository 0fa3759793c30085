"""What a card knows, and that it travels inside the model file."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from phantom_model import PHANTOM_MODEL

from boltzformer.desk.models.knowledge import Knowledge
from boltzformer.engine.provenance import own_gate
from boltzformer.errors import BoltzFormerError, CheckpointError
from boltzformer.evaluate.publish import publish
from boltzformer.evaluate.report import sha256_of
from boltzformer.knowledge.card import Card, split_in_words
from boltzformer.knowledge.card_text import markdown
from boltzformer.knowledge.manifest import Row
from boltzformer.learn.training_run import mean
from boltzformer.weights import checkpoint, registry


def rows(target: str, groups: int, modality: str = "MRI") -> list[Row]:
    return [
        Row(
            number=n,
            image=Path(f"{target}{n}"),
            mask=Path("m"),
            label=None,
            target=target,
            prompts=(f"{target} in brain {modality}", f"{target}s"),
            group=f"{target}{n}",
            modality=modality,
            source="s",
            licensed=True,
            notes={"dataset": "A set", "licence": "CC BY 4.0", "source_repo": "who/where"},
        )
        for n in range(groups)
    ]


ALL = [*rows("MS lesion", 6), *rows("glioma", 2), *rows("liver", 9, "CT"), *rows("liver tumor", 5, "CT")]
CARD = Card.made(ALL[1:], ALL, split="A quarter was held back.", run={"steps": 20})
FACTS = {
    "macro": {
        "dice": 0.5,
        "dice_interval": [0.4, 0.6],
        "targets": 1,
        "dice_small": None,
        "dice_small_interval": None,
        "targets_small": 0,
    },
    "existence": {
        "auroc_easy": 0.9,
        "auroc_easy_interval": [0.8, 0.95],
        "auroc_hard": None,
        "auroc_hard_interval": None,
    },
    "targets": {"MS lesion": {"n": 3, "dice": 0.41, "dice_interval": [0.3, 0.5], "missed": 1}},
    "bands": {"<0.1%": {"dice": 0.1, "n": 2}},
    "modalities": {},
    "never_taught": {},
    "other_phrasings": {},
    "how": {"min_masks": 3, "intervals": "95 %", "macro": "mean"},
    "data": {},
}


def test_a_target_counts_as_taught_from_five_patients_on() -> None:
    assert CARD.taught == {"MS lesion", "liver", "liver tumor"}
    assert [(one.name, one.licence, one.masks) for one in CARD.datasets] == [("A set", "CC BY 4.0", 21)]


@pytest.mark.parametrize(
    ("prompt", "target", "warned"),
    [
        ("MS lesion in brain MRI", "MS lesion", False),
        ("ms lesions", "MS lesion", False),
        ("every MS lesion you find", "MS lesion", False),
        ("liver tumors in a CT", "liver tumor", False),
        ("liver in CT", "liver", False),
        ("glioma", "glioma", True),
        ("liver in MRI", "liver", True),
        ("tumour of the liver", "liver tumor", False),
        ("liver cyst", "", True),
        ("left kidney in CT", "", True),
        ("kidney in CT", "", True),
        ("deliver", "", True),
    ],
)
def test_a_prompt_is_known_by_phrasing_or_by_the_name_in_it(prompt: str, target: str, warned: bool) -> None:
    known = CARD.knows(prompt)
    assert known.target == target
    assert bool(known.warning()) == warned


def test_the_split_is_told_in_words() -> None:
    held = rows("kidney", 2)
    assert split_in_words(ALL, ALL) == "Trained on 22 masks of 22 groups (patients); nothing was held back."
    assert "2 masks of 2 groups were held back by split.json" in split_in_words(ALL, [*ALL, *held], "split.json")


def test_a_card_knows_how_well_its_targets_do() -> None:
    known = CARD.measured(FACTS).knows("MS lesion")
    assert (known.taught, known.dice, known.interval) == (True, 0.41, (0.3, 0.5))
    assert CARD.knows("MS lesion").dice is None


def test_a_card_survives_json_and_a_newer_version_of_it() -> None:
    notes = json.loads(json.dumps(CARD.measured(FACTS).notes()))
    notes["card"]["targets"][0]["something new"] = 1
    again = Card.of(notes)
    assert again is not None
    assert again.knows("MS lesion") == CARD.measured(FACTS).knows("MS lesion")
    assert again == CARD.measured(FACTS)
    assert Card.of({}) is None
    with pytest.raises(CheckpointError, match="card"):
        Card.of({"card": {"datasets": 3}})


def test_the_text_names_licences_misuse_and_failures() -> None:
    text = markdown(CARD.measured(FACTS), "ours", "CC BY-SA 4.0", "failures.png")
    for said in ("CC BY-SA 4.0", "not verified upstream", "no medical device", "who/where", "1 of 3 missed", "0.500"):
        assert said in text
    assert "Not measured yet" in markdown(CARD, "ours", "")


def test_whole_volumes_are_told_apart_and_first() -> None:
    of = {"MS lesion": {"n": 7, "groups": 7, "dice": 0.55}, "glioma": {"n": 1, "groups": 1, "dice": 0.2}}
    volumes = {"volumes": {"n": 8, "macro": {"targets": 2, "dice": 0.375, "dice_interval": None, "nsd": 0.3},
                           "empty_marked": 0.2, "empty_marked_interval": None, "absent": {"n": 0}, "targets": of,
                           "cases": [{"case": "a name"}]}}  # fmt: skip
    card = CARD.measured(FACTS, volumes)
    assert card.knows("MS lesion").dice == CARD.measured(FACTS).knows("MS lesion").dice
    assert "a name" not in json.dumps(card.notes())
    text = markdown(card, "ours", "")
    first = next(line for line in text.splitlines() if line.startswith("**In whole volumes"))
    assert "MS lesion (0.55 in 7). Not of: glioma." in first
    assert text.index(first) < text.index("A quarter was held back.")
    assert Knowledge(card).words("MS lesion") == "Dice 0.55 in 7 unseen volumes"
    assert Knowledge(card).words("glioma") == "Dice 0.20 in 1 unseen volume"
    # who has pictures is told of pictures, whatever one odd volume gave
    seen = tuple(replace(one, modalities=("microscopy",), metrics={**one.metrics, "groups": 3}) for one in card.targets)
    assert Knowledge(replace(card, targets=seen)).words("MS lesion") == "Dice 0.41 on 3 unseen cases"


def test_a_mean_of_models_lies_between_them_and_names_them(tmp_path: Path) -> None:
    model, about = checkpoint.load(PHANTOM_MODEL)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    checkpoint.save(tmp_path / "a.safetensors", model, about.history)
    model.load_state_dict({name: tensor + 0.5 for name, tensor in before.items()})
    checkpoint.save(tmp_path / "b.safetensors", model, about.history)
    made = mean([tmp_path / "a.safetensors", tmp_path / "b.safetensors"], tmp_path / "mean.safetensors")
    after = checkpoint.load(made.path)[0].state_dict()
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor + 0.25, msg=name)
    assert made.history.notes["mean of"] == [sha256_of(tmp_path / f"{name}.safetensors") for name in "ab"]
    with pytest.raises(CheckpointError, match="at least two"):
        mean([made.path], tmp_path / "alone.safetensors")
    with pytest.raises(CheckpointError, match="built otherwise"):
        mean([registry.resolve("default"), made.path], tmp_path / "other.safetensors")


def test_publishing_keeps_every_bit_of_the_weights(tmp_path: Path) -> None:
    model, about = checkpoint.load(PHANTOM_MODEL)  # it has no card
    history = checkpoint.History("ours", licence="CC BY-SA 4.0", notes={"seed": 3, **CARD.notes()})
    checkpoint.save(tmp_path / "m.safetensors", model, history)
    (tmp_path / "metrics.json").write_text(json.dumps(FACTS))
    publish(
        tmp_path / "m.safetensors",
        tmp_path / "metrics.json",
        tmp_path / "out.safetensors",
        gate=0.7,
        note="Of another run.",
    )
    again, told = checkpoint.load(tmp_path / "out.safetensors")
    assert all(
        bool((a == b).all()) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True)
    )
    assert told.history.metrics == {"dice": 0.5, "auroc_easy": 0.9}
    assert told.history.notes["seed"] == 3
    assert own_gate(told) == 0.7
    card = Card.of(told.history.notes)
    assert card is not None
    assert card.knows("MS lesion").dice == 0.41
    assert card.split == "A quarter was held back. Of another run."
    assert "CC BY-SA 4.0" in (tmp_path / "out.md").read_text("utf-8")
    with pytest.raises(BoltzFormerError, match="card"):
        publish(about.path, tmp_path / "metrics.json", tmp_path / "other.safetensors")
    (tmp_path / "metrics.json").write_text("[]")
    with pytest.raises(BoltzFormerError, match="evaluation"):
        publish(tmp_path / "m.safetensors", tmp_path / "metrics.json", tmp_path / "other.safetensors")
    assert not (tmp_path / "other.safetensors").exists()
