"""`.npz` files: numbers and plain values come back, nothing in them runs, and damage is one sentence."""

import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from boltzformer.errors import ImageError
from boltzformer.io.npz import names_in, read_array, read_plain, write_npz


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.target}'",)


def objects(value: object) -> np.ndarray:
    one = np.empty((), object)
    one[()] = value
    return one


def test_arrays_come_back_with_their_order_and_kind(tmp_path: Path) -> None:
    path, numbers = tmp_path / "x.npz", np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    np.savez_compressed(path, a=numbers, turned=numbers.T, words=np.array(["fg", "bg"]), big=numbers.astype(">f4"))
    assert names_in(path) == {"a", "turned", "words", "big"}
    for name, wanted in {"a": numbers, "turned": numbers.T, "big": numbers, "words": ["fg", "bg"]}.items():
        assert np.array_equal(read_array(path, name), wanted)
    assert read_array(path, "a").dtype == np.int16


def test_pickled_tables_of_texts_and_numbers_come_back_plain(tmp_path: Path) -> None:
    asked = {"1": "liver", "2": ["spleen", np.str_("the spleen")], "instance_label": np.int64(1)}
    boxes = [{"z_min": np.int64(3), "share": np.float32(0.5)}, {"z_min": 4, "share": True}]
    np.savez(tmp_path / "x.npz", asked=objects(asked), boxes=boxes, order=[["fg"], ["bg"]], empty=[[], []])
    found = read_plain(tmp_path / "x.npz", "asked")
    assert found == {"1": "liver", "2": ["spleen", "the spleen"], "instance_label": 1}
    assert type(found["instance_label"]) is int
    assert read_plain(tmp_path / "x.npz", "boxes") == [{"z_min": 3, "share": 0.5}, {"z_min": 4, "share": True}]
    assert read_plain(tmp_path / "x.npz", "order") == [["fg"], ["bg"]]
    assert read_plain(tmp_path / "x.npz", "empty") == [[], []]


def test_what_we_write_numpy_reads(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "x.npz", a=np.arange(3), told={"1": "liver"}, clicks=[{"fg": [[1, 2, 3]], "bg": []}])
    with np.load(path, allow_pickle=True) as read:
        assert read["a"].tolist() == [0, 1, 2]
        assert read["told"].item() == {"1": "liver"}
        assert list(read["clicks"]) == [{"fg": [[1, 2, 3]], "bg": []}]
    assert read_plain(path, "clicks") == [{"fg": [[1, 2, 3]], "bg": []}]


@pytest.mark.parametrize("inside", ["alone", "value", "list", "object"])
def test_a_bomb_is_named_and_does_not_go_off(inside: str, tmp_path: Path) -> None:
    bomb = Bomb(tmp_path / "ran")
    value = {"alone": bomb, "value": {"1": bomb}, "list": {"1": [bomb]}, "object": {"1": Path("x")}}[inside]
    np.savez(tmp_path / "x.npz", told=objects(value))
    if inside == "list":
        assert "Inert" in repr(read_plain(tmp_path / "x.npz", "told"))  # a level that whoever reads it must look at
    else:
        with pytest.raises(ImageError, match="nothing of it was run"):
            read_plain(tmp_path / "x.npz", "told")
    assert not (tmp_path / "ran").exists()


def test_objects_are_no_numbers(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", gts=objects({"1": "liver"}))
    with pytest.raises(ImageError, match="where an array of numbers should be"):
        read_array(tmp_path / "x.npz", "gts")


def test_a_missing_name_tells_what_there_is(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", gts=[1], spacing=[1])
    with pytest.raises(ImageError, match=r"lacks `segs` \(it holds gts, spacing\)"):
        read_array(tmp_path / "x.npz", "segs")


def test_damage_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    for content in (b"", b"hello", b"PK\x03\x04" + bytes(100)):
        path.write_bytes(content)
        with pytest.raises(ImageError, match=r"x\.npz is damaged"):
            read_array(path, "gts")
    np.savez_compressed(path, gts=np.random.default_rng(0).random(1000))
    whole = path.read_bytes()
    for share in (0.3, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ImageError, match="damaged"):
            read_array(path, "gts")
    with pytest.raises(ImageError, match="could not be read"):
        read_array(tmp_path / "gone.npz", "gts")


def test_a_header_that_claims_more_than_there_is_takes_no_memory(tmp_path: Path) -> None:
    head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }"
    head += b" " * (64 - (len(head) + 11) % 64) + b"\n"
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("gts.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + bytes(8))
    with pytest.raises(ImageError, match="damaged"):
        read_array(tmp_path / "x.npz", "gts")
