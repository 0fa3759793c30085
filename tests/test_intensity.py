"""What the network sees as black and white, held against the public recipe written out plainly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_orders import ORDERS, grid_of, stored

from boltzformer import BoltzFormerError, ImageError, Window
from boltzformer.image.intensity import PRESETS

settings.register_profile("busy machine", deadline=None, max_examples=60)
settings.load_profile("busy machine")
TYPES = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.float32, np.float64, ">i2", ">f4")


def recipe(array, bounds, background=None) -> np.ndarray:
    """The public model's preparation: clip, the clipped volume's minimum and maximum to 0 and 255, cut off decimals."""
    x = np.clip(array.astype(np.float64), *bounds)
    x = (x - x.min()) / (x.max() - x.min()) * 255.0
    if background is not None:
        x[array == background] = 0
    return np.uint8(x)


def ct(dtype=np.int16, shape=(12, 40, 40)) -> np.ndarray:
    """Air, lung, fat, soft tissue and bone, with noise."""
    rng = np.random.default_rng(5)
    tissue = rng.choice([-1000, -850, -90, 40, 60, 700], size=shape, p=[0.35, 0.15, 0.1, 0.2, 0.15, 0.05])
    return (tissue + rng.normal(0, 20, shape)).astype(dtype)


def mr(dtype=np.int16, shape=(12, 40, 40)) -> np.ndarray:
    """A head-like block of positive values in a background of exact zeros."""
    rng = np.random.default_rng(6)
    values = rng.gamma(4, 150, shape)
    values[:, :8], values[..., :6] = 0, 0
    return values.astype(dtype)


@pytest.mark.parametrize("tissue", PRESETS)
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_a_ct_window_is_the_recipe_to_the_last_value(tissue, dtype):
    array, (width, level) = ct(dtype), PRESETS[tissue]
    window = Window.preset(tissue).fitted(array)
    assert np.array_equal(window.apply(array), recipe(array, (level - width / 2, level + width / 2)))
    assert window.kind == f"CT {tissue} {width}/{level}"


def test_the_clipped_volumes_own_extremes_become_black_and_white():
    liver = ct()[ct() > 0]  # no voxel reaches down to the soft-tissue window's −160
    window = Window.preset("soft tissue").fitted(liver)
    assert (window.low, window.high) == (liver.min(), 240)
    assert window.apply(liver).min() == 0
    assert Window.preset("soft tissue").low == -160


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_everything_but_ct_is_the_percentile_recipe_to_the_last_value(dtype):
    array = mr(dtype)
    bounds = [float(bound) for bound in np.percentile(array[array > 0], (0.5, 99.5))]
    window = Window.guess(array, "MR")
    assert np.array_equal(window.apply(array), recipe(array, bounds, background=0))
    assert window.kind == "percentiles 0.5–99.5 of the positive voxels"
    assert (window.apply(array)[array == 0] == 0).all()


@given(st.sampled_from(TYPES), st.integers(0, 2**32 - 1), st.integers(2, 400), st.sampled_from((1, 7, 100, 30000)))
def test_the_histograms_percentiles_are_numpys(dtype, seed, size, spread):
    low = -spread // 3 if np.dtype(dtype).kind != "u" else 0
    top = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 2**31
    array = np.random.default_rng(seed).integers(low, min(spread, top), size, endpoint=True)
    array = np.clip(array, -min(top, 2**40), top).astype(dtype).reshape(1, 1, -1)
    chosen = array[array > 0] if (array > 0).any() else array
    low, high = (float(bound) for bound in np.percentile(chosen.astype(np.float64), (0.5, 99.5)))
    window = Window.choose("percentiles", array)
    if low < high:  # float32 voxels: numpy interpolates in float32
        tolerance = 0 if np.dtype(dtype).kind in "iu" else 1e-5 * spread
        assert abs(window.low - np.clip(array.min(), low, high)) <= tolerance
        assert abs(window.high - np.clip(array.max(), low, high)) <= tolerance


def test_integers_that_spread_too_far_for_a_histogram_are_sorted():
    array = np.random.default_rng(0).integers(1, 2**31, (4, 30, 30))
    window = Window.guess(array)
    assert (window.low, window.high) == tuple(np.percentile(array, (0.5, 99.5)))


# What is given: values, modality, and what the user is told.
SOFT, BY_PERCENTILE = "CT soft tissue 400/40", "percentiles 0.5–99.5 of the positive voxels"
GUESSES = {
    "CT by its tag": (ct(), "CT", SOFT),
    "CT in floats, tag in small letters": (ct(np.float32), " ct ", SOFT),
    "a file without tags that holds CT": (ct(), "", f"{SOFT}, for the values look like CT"),
    "the same in decimals": (ct(np.float64), "", f"{SOFT}, for the values look like CT"),
    "a CT without tags, cropped to an organ": (np.clip(ct(), -90, 500), "", BY_PERCENTILE),
    "MR phase, −4096…4094": (np.random.default_rng(1).integers(-4096, 4095, (9, 30, 30)), "", BY_PERCENTILE),
    "MR by its tag, though negative": (ct(), "MR", BY_PERCENTILE),
    "MR without tags": (mr(), "", BY_PERCENTILE),
    "16-bit microscopy": (mr(np.uint16) * 20, "", BY_PERCENTILE),
    "8 bit": (mr().clip(0, 255).astype(np.uint8), "MR", "as stored (8 bit)"),
    "8 bit, dark": (mr().clip(0, 60).astype(np.uint8), "", "as stored (8 bit)"),
    "8 bit, saved as 16": (mr().clip(0, 255), "", "as stored (8 bit)"),
    "8-bit CT, saved as decimals": (mr().clip(0, 255).astype(np.float32), "CT", "as stored (8 bit)"),
    "a scan of 0…100": (mr().clip(0, 100), "MR", BY_PERCENTILE),
    "fractions": (mr(np.float64) / 5000, "", BY_PERCENTILE),
    "decimals within 0…255": (mr(np.float64).clip(0, 250) * 0.999, "", BY_PERCENTILE),
    "nothing positive": (-mr() - 1, "MR", "percentiles 0.5–99.5 of all voxels"),
}


@pytest.mark.parametrize(("array", "modality", "told"), GUESSES.values(), ids=list(GUESSES))
def test_the_window_is_guessed_from_tags_and_values_and_says_so(array, modality, told):
    assert Window.guess(array, modality).kind == told


def test_8_bit_values_are_left_as_they_are_in_any_type():
    every = np.arange(256).reshape(1, 16, 16)
    for dtype in (np.uint8, np.int16, np.float32, np.float64):
        window = Window.guess(every.astype(dtype))
        assert np.array_equal(window.apply(every.astype(dtype)), every)
    assert Window.guess(every.astype(np.uint8)).apply(every.astype(np.uint8)).dtype == np.uint8


def test_a_mask_is_seen_and_a_constant_is_black():
    for dtype in (np.bool_, np.int16, np.float32):
        mask = (mr() > 500).astype(dtype)
        assert np.array_equal(Window.guess(mask).apply(mask), (mr() > 500) * 255)
    for value in (0, 7, -7):
        flat = np.full((2, 5, 5), value, np.int16)
        assert not Window.guess(flat).apply(flat).any()
        assert not Window.guess(flat, "CT").apply(flat).any()


def test_a_window_that_no_voxel_reaches_shows_black():
    air = np.full((2, 5, 5), -1000, np.int16)
    assert not Window.preset("bone").fitted(air).apply(air).any()


@pytest.mark.parametrize(
    "asked", ["lung", " Lung", "1500/-160", "1500/−160", "soft-tissue", "soft_tissue", "Soft Tissue"]
)
def test_windows_are_asked_for_by_name_or_numbers(asked):
    window = Window.choose(asked, ct())
    expected = (-160, 240) if "oft" in asked else (-910, 590)
    assert (window.low, window.high) == expected


def test_auto_percentiles_and_stored_can_be_asked_for():
    assert Window.choose("auto", ct(), "CT") == Window.guess(ct(), "CT")
    assert Window.choose("percentiles", ct(), "CT") == Window.guess(ct(), "MR")
    assert np.array_equal(Window.choose("stored", ct()).apply(ct()), ct().clip(0, 255))


@pytest.mark.parametrize("asked", ["liver", "", "400", "400/40/3", "0/40", "-400/40", "nan/40", "400/nan", "inf/0"])
def test_an_unknown_window_gets_a_sentence(asked):
    with pytest.raises(BoltzFormerError, match=r"There is no window|has no width|shows nothing"):
        Window.choose(asked, ct())


@pytest.mark.parametrize(("low", "high"), [(3, 2), (np.nan, 2), (0, np.inf)])
def test_an_upside_down_window_is_refused(low, high):
    with pytest.raises(BoltzFormerError, match="black value below the white"):
        Window(low, high)


def test_voxels_that_are_no_numbers_are_refused_by_guess_and_black_in_apply():
    array = mr(np.float32)
    array[3, 20, 20] = np.nan
    with pytest.raises(ImageError, match="NaN or infinite"):
        Window.guess(array)
    assert Window(0, 1000).apply(array)[3, 20, 20] == 0
    with pytest.raises(ImageError, match="real numbers"):
        Window.guess(array.astype(np.complex64))


def test_black_and_white_do_not_depend_on_how_the_volume_is_stored():
    array = ct(shape=(5, 6, 7))
    grid = grid_of(array.shape, (1, 1, 1))
    for modality in ("", "CT", "MR"):
        for order, flips in ORDERS:
            other, _ = stored(array, grid, order, flips)
            assert Window.guess(other, modality) == Window.guess(array, modality)
            assert Window.guess(other[::-1].T, modality) == Window.guess(array, modality)  # not contiguous


def test_a_slice_is_shown_as_it_is_in_the_volume():
    array = mr()
    window = Window.guess(array)
    whole = window.apply(array)
    assert all(np.array_equal(window.apply(array[n]), whole[n]) for n in range(len(array)))


def test_colour_keeps_its_channels():
    colour = np.random.default_rng(0).integers(0, 4096, (1, 20, 20, 3)).astype(np.uint16)
    assert Window.guess(colour).apply(colour).shape == colour.shape
