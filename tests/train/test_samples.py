"""What a training step is shown: the right objects, in their places, and prompts that are true."""

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from boltzformer.knowledge.manifest import Row
from boltzformer.learn.augment import Look, Strength, look_at, paste, regrade, spread
from boltzformer.learn.corpus import BRAIN, TYPED, Corpus, Picture, band, healthy_of, not_here


def square(height: int, width: int, box: tuple[int, int, int, int]) -> Picture:
    """A bright rectangle on gray, and its mask."""
    mask = torch.zeros(height, width, dtype=torch.uint8)
    mask[box[0] : box[1], box[2] : box[3]] = 1
    pixels = (80 + 120 * mask)[None].to(torch.uint8)
    half = torch.nn.functional.avg_pool2d(pixels[None].float(), 2, ceil_mode=True)[0].round().to(torch.uint8)
    return Picture(pixels, half, {"box": mask}, {"box": ("a box",)}, "g", "CT", "brain", "s", False)


@given(st.integers(0, 2**31), st.booleans(), st.integers(60, 300), st.integers(60, 300))
def test_image_and_mask_stay_together_through_every_look(seed: int, whole: bool, height: int, width: int) -> None:
    picture = square(height, width, (height // 3, height // 2, width // 4, width // 2))
    look = look_at(picture, "box", 64, Strength(long_side=(64, 128)), np.random.default_rng(seed), whole=whole)
    image, mask = look.of(picture), look.mask(picture.masks["box"])
    assert image.shape == (3, 64, 64)
    assert mask.shape == (32, 32)
    small = torch.nn.functional.avg_pool2d(image[:1], 2)[0]
    assert small[mask == 1].gt(80).all()  # one that is hardly there is dim
    assert not small.ge(170).any() or small[mask == 1].ge(170).all()
    assert small[mask == 0].le(110).all()


@given(st.integers(0, 2**31), st.integers(60, 300), st.integers(60, 300))
def test_a_part_without_the_object_is_shown_when_asked(seed: int, height: int, width: int) -> None:
    picture = square(height, width, (height // 3, height // 2, width // 4, width // 2))
    upright = Strength(rotation=0, empty=1)
    look = look_at(picture, "box", 64, upright, np.random.default_rng(seed), whole=False)
    assert look.mask(picture.masks["box"]).max() == 0
    assert (look.of(picture) > 0).all()  # and nothing beyond the border
    full = square(height, width, (0, height, 0, width))
    assert look_at(full, "box", 64, upright, np.random.default_rng(seed), whole=False).mask(full.masks["box"]).max() > 0


def test_the_whole_picture_fills_the_sample_and_is_centred() -> None:
    picture, still = square(100, 200, (0, 100, 0, 200)), Strength(rotation=0, zoom=1, whole=1)
    rng = np.random.default_rng(0)
    masks = [look_at(picture, "box", 64, still, rng, whole=True).mask(picture.masks["box"]) for _ in range(20)]
    assert all(abs(float(mask.sum()) - 32 * 16) < 70 for mask in masks)  # moved a little, so some is cut


def test_an_object_of_one_pixel_survives_at_any_scale() -> None:
    picture = square(512, 512, (200, 201, 300, 301))
    for side in (64, 128, 256):
        look = Look(side, ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), 512 / side)
        assert float(look.mask(picture.masks["box"]).max()) >= 0.5


def test_black_stays_black_and_the_scale_is_kept() -> None:
    image = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0)) * 255
    image[:, :8] = 0
    for seed in range(30):
        made = regrade(image, replace(Strength(), noise=0.0, blur=0.0), np.random.default_rng(seed))
        assert made.min() >= 0
        assert made.max() <= 255
        assert (made[:, :8] == 0).all()


def test_other_windows_make_it_darker_and_cut_white_off() -> None:
    image = torch.linspace(0, 200, 1024).reshape(1, 32, 32).expand(3, -1, -1)
    plain = replace(Strength(), noise=0.0, blur=0.0, gamma=(1.0, 1.0))
    made = [regrade(image, replace(plain, window=1.0), np.random.default_rng(seed)) for seed in range(60)]
    before = [regrade(image, plain, np.random.default_rng(seed)) for seed in range(60)]
    assert min(float(one.mean()) for one in made) < 0.7 * min(float(one.mean()) for one in before)
    white = [float((one == one.max()).float().mean()) for one in made]
    assert max(white) > 0.3
    assert all(one[0].flatten().diff().min() >= 0 for one in made)  # never darker where it was brighter


def test_a_pasted_lesion_joins_the_mask_where_nothing_was() -> None:
    picture, donor = square(128, 128, (20, 40, 20, 40)), square(64, 64, (30, 36, 30, 36))
    made = paste(picture, donor, "box", np.random.default_rng(1))
    new = made.masks["box"] - picture.masks["box"]
    assert int(new.sum()) == 36
    assert (made.pixels[0][new == 1] > 150).float().mean() > 0.5
    assert torch.equal(picture.pixels, square(128, 128, (20, 40, 20, 40)).pixels)  # the original is untouched


def test_prompts_about_what_is_there_and_one_about_what_is_not(corpus: Corpus) -> None:
    rng = np.random.default_rng(0)
    absent = set()
    for _ in range(200):
        choice = corpus.choose(rng, present=2, paste=0.5, healthy=True)
        (first, _), (second, _), (missing, phrase) = choice.asked
        assert first == choice.focus
        assert {first, second} <= set(choice.picture.masks)
        assert missing not in choice.picture.masks
        known = {p.modality for p in corpus.pictures if missing in p.masks}
        in_source = {name for p in corpus.pictures if p.source == choice.picture.source for name in p.masks}
        assert (
            choice.picture.modality not in known
            or missing in in_source
            or missing in healthy_of(choice.picture, in_source)
        )
        assert phrase
        absent.add(missing)
    assert len(absent) > 10


def test_every_target_is_drawn(corpus: Corpus) -> None:
    rng = np.random.default_rng(0)
    drawn = {corpus.choose(rng, present=1, paste=0).focus for _ in range(1500)}
    assert drawn == set(corpus.targets)


def test_what_a_source_lost_is_unknown_not_absent() -> None:
    assert not not_here("microaneurysm", "idrid2", {"hard exudate"})
    assert not not_here("spinal canal", "spider", {"vertebra"})
    assert not_here("soft exudate", "idrid", {"hard exudate"})


def test_bands_of_size() -> None:
    assert [band(share) for share in (0.0005, 0.001, 0.05, 0.2)] == [0, 1, 2, 3]


def test_pasted_objects_grow_when_asked() -> None:
    picture, donor = square(200, 200, (0, 1, 0, 1)), square(200, 200, (90, 100, 90, 100))
    grown = [paste(picture, donor, "box", np.random.default_rng(seed), grow=0.05) for seed in range(20)]
    added = [int(one.masks["box"].sum()) - 1 for one in grown]
    assert 1000 < max(added) < 0.06 * 1.25**2 * 200**2  # of 100 pixels; either side a quarter more or less
    assert min(one for one in added if one > 0) >= 64
    plain = [paste(picture, donor, "box", np.random.default_rng(seed)) for seed in range(20)]
    assert {int(one.masks["box"].sum()) - 1 for one in plain} <= {0, 100}


def test_lesions_spread_where_they_are_and_not_into_others_or_the_dark() -> None:
    plain = square(200, 200, (90, 100, 90, 100))
    pixels = plain.pixels.clone()
    pixels[:, :, 110:] = 5  # beside it, nothing that a lesion could spread to
    other = torch.zeros_like(plain.masks["box"])
    other[:88] = other[104:108, 92:96] = 1
    picture = replace(plain, pixels=pixels, masks={"brain lesion": plain.masks["box"], "organ": other})
    made = [spread(picture, "brain lesion", np.random.default_rng(seed), grow=0.2) for seed in range(20)]
    for one in made:
        mask = one.masks["brain lesion"]
        assert (mask >= picture.masks["brain lesion"]).all()
        assert not mask[:, 112:].any()
        assert not (mask * other).any()
        assert torch.equal(one.masks["organ"], other)
    sizes = [int(one.masks["brain lesion"].sum()) for one in made]
    assert max(sizes) > 1000
    assert max(sizes) < 0.2 * 200 * 200
    largest = made[int(np.argmax(sizes))]
    new = (largest.masks["brain lesion"] > 0) & (picture.masks["brain lesion"] == 0)
    assert float(largest.pixels[0][new].float().mean()) > float(picture.pixels[0][new].float().mean()) + 15
    assert (
        spread(replace(picture, masks={"organ": other}), "organ", np.random.default_rng(0), grow=0.5).pixels is pixels
    )


def test_a_lesion_spreads_the_same_wherever_the_picture_ends() -> None:
    """Only the surroundings of the lesions are looked at; what lies beyond them can't matter."""
    near = square(300, 300, (140, 150, 140, 150))
    pixels = near.pixels.clone()
    pixels[:, :60] = pixels[:, 240:] = pixels[:, :, :60] = pixels[:, :, 240:] = 200
    one = replace(near, masks={"brain lesion": near.masks["box"]})
    other = replace(one, pixels=pixels)
    for seed in range(10):
        made, beside = (spread(p, "brain lesion", np.random.default_rng(seed), grow=0.2) for p in (one, other))
        assert torch.equal(made.masks["brain lesion"], beside.masks["brain lesion"])
        assert torch.equal(made.pixels[:, 60:240, 60:240], beside.pixels[:, 60:240, 60:240])
        assert torch.equal(beside.pixels[:, :60], pixels[:, :60])


def test_prompts_are_also_put_together(corpus: Corpus) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        choice = corpus.choose(rng, present=2, paste=0, plain=1)
        where = f"{choice.picture.anatomy} {choice.picture.modality}"
        assert [text for _, text in choice.asked] == [f"{name} in {where}" for name, _ in choice.asked]


def test_prompts_are_also_what_users_type(corpus: Corpus) -> None:
    """What stands around the name is the picture's own, whether the target is there or not."""
    rng, around, alone = np.random.default_rng(0), [set[str](), set[str]()], 0
    for _ in range(300):
        choice = corpus.choose(rng, present=1, paste=0, typed=1)
        picture = choice.picture
        for absent, (name, text) in enumerate(choice.asked):
            assert name.lower() in text.lower()
            alone += text.lower() == name.lower()
            rest = text.lower().replace(name.lower(), "…")
            frames = [
                one.format(
                    name="…",
                    where=f"{picture.anatomy} {picture.modality}",
                    kind=picture.modality,
                    anatomy=picture.anatomy,
                ).lower()
                for one in TYPED
            ]
            around[absent].add(TYPED[frames.index(rest)])
    assert 0.25 < alone / 600 < 0.45
    assert around[0] == around[1] == set(TYPED)


def test_targets_that_are_small_can_be_drawn_oftener(rows: tuple[Row, ...]) -> None:
    def share(small: float) -> float:
        corpus, rng = Corpus(rows, small=small), np.random.default_rng(0)
        drawn = [corpus.choose(rng, present=1, paste=0) for _ in range(400)]
        return float(np.mean([float(one.picture.masks[one.focus].float().mean()) < 0.01 for one in drawn]))

    assert share(8) > 1.3 * share(1) > 0


def test_a_brain_with_one_disease_has_no_other_and_that_is_asked() -> None:
    def picture(source: str, target: str, anatomy: str = "brain", modality: str = "MRI") -> Picture:
        blank = torch.zeros(1, 8, 8, dtype=torch.uint8)
        return Picture(blank, blank, {target: blank[0]}, {target: (target,)}, source, modality, anatomy, source, False)

    assert healthy_of(picture("ms", "MS lesion"), {"MS lesion"}) == frozenset().union(BRAIN[0], BRAIN[2])
    assert healthy_of(picture("hippo", "hippocampus"), {"hippocampus"}) == frozenset().union(*BRAIN)
    assert healthy_of(picture("head", "edema", modality="CT"), {"edema"}) == frozenset()
    assert healthy_of(picture("spine", "vertebra", "spine"), {"vertebra"}) == frozenset()
    assert "liver tumor" in healthy_of(picture("pancreasct2", "pancreas", "abdomen", "CT"), {"pancreas"})
