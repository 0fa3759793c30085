"""Broken and hostile checkpoints: nothing in them runs, nothing fills the memory, and each gets one sentence."""

import contextlib
import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic import Bomb, lightning

from boltzformer.cli.cli import run
from boltzformer.errors import CheckpointError
from boltzformer.io.pickles import LARGEST, Inert, Malformed, decoded
from boltzformer.weights.convert.archive import opened

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(3), "b": torch.zeros(0, 4)}


def written(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def with_pickle(path: Path, data: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    """An archive as PyTorch writes them, with this description."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/data/0", bytes(24), zipfile.ZIP_STORED)
    return path


def refused(path: Path, words: str, capsys: pytest.CaptureFixture[str], home: Path) -> None:
    """Exit code 2, one sentence, nothing left."""
    assert run(["models", "import", str(path)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert "Traceback" not in said
    assert not home.exists()


def test_weights_come_back_and_what_would_run_does_not(tmp_path):
    target = tmp_path / "ran"
    path = written(tmp_path / "x.ckpt", {"state_dict": {**STATE, "c": Bomb(target)}, "hyper_parameters": Bomb(target)})
    contents = opened(path)
    assert contents.tensors.keys() == STATE.keys()
    assert all(torch.equal(contents.tensors[name], tensor) for name, tensor in STATE.items())
    assert contents.beside == ("hyper_parameters",)
    assert contents.strange == ("c",)
    assert not target.exists()


def test_a_whole_training_checkpoint_with_live_objects_is_read(tmp_path):
    contents = opened(lightning(STATE, tmp_path / "x.ckpt"))
    assert contents.tensors.keys() == {f"model.{name}" for name in STATE} | {
        "loss.pos_weight",
        "train_metrics.dice.total",
    }
    assert {"optimizer_states", "callbacks", "hyper_parameters"} <= set(contents.beside)


def test_views_shared_storages_and_parameters_are_rebuilt(tmp_path):
    base = torch.arange(24.0).reshape(4, 6)
    state = {
        "transposed": base.T,
        "part": base[1:3, 2:5],
        "parameter": torch.nn.Parameter(base),
        "half": base.half(),
        "brain": base.bfloat16(),
        "count": torch.tensor(3),
        "yes": torch.tensor([True, False]),
    }
    found = opened(written(tmp_path / "x.pt", OrderedDict(state))).tensors
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


@pytest.mark.parametrize("protocol", range(6))
def test_every_pickle_protocol_is_understood(protocol):
    plain = {"a": [1, -2, 2**70, 0.5, None, True, "é", b"\x00\xff"], "b": {"c": (1, (2,), ())}, 3: {"d": []}}
    found = decoded(pickle.dumps(plain, protocol=protocol))
    if protocol < 3:  # bytes were calls then
        found["a"][-1] = plain["a"][-1]
    assert found == plain


def test_a_bomb_alone_holds_no_weights(tmp_path, capsys, own_home):
    bomb = written(tmp_path / "x.ckpt", {"state_dict": Bomb(tmp_path / "ran")})
    refused(bomb, "holds no weights", capsys, own_home)
    refused(written(tmp_path / "x.ckpt", Bomb(tmp_path / "ran")), "holds no weights", capsys, own_home)
    assert not (tmp_path / "ran").exists()


def test_an_old_bare_pickle_is_not_opened(tmp_path, capsys, own_home):
    old = tmp_path / "x.pt"
    torch.save(STATE, old, _use_new_zipfile_serialization=False)
    refused(old, "bare pickle, as PyTorch wrote them before 1.6", capsys, own_home)
    old.write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    refused(old, "bare pickle", capsys, own_home)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_half_a_download(share, tmp_path, capsys, own_home):
    whole = lightning({"w": torch.rand(100_000)}, tmp_path / "x.ckpt").read_bytes()
    (tmp_path / "x.ckpt").write_bytes(whole[: int(len(whole) * share)])
    refused(tmp_path / "x.ckpt", "is not a whole PyTorch checkpoint", capsys, own_home)


@pytest.mark.parametrize(
    ("content", "words"),
    {
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n": "only a Git-LFS pointer",
        b"<!doctype html><title>Sign in</title>": "is a web page",
        b"": "neither a PyTorch checkpoint nor safetensors",
        b"hello": "neither a PyTorch checkpoint nor safetensors",
        struct.pack("<Q", 9) + b"{not json" + bytes(9): "not a whole safetensors file",
    }.items(),
)
def test_other_files_are_told_apart(content, words, tmp_path, capsys, own_home):
    (tmp_path / "x.ckpt").write_bytes(content)
    refused(tmp_path / "x.ckpt", words, capsys, own_home)


def test_a_flipped_bit_among_the_weights_is_noticed(tmp_path, capsys, own_home):
    path = written(tmp_path / "x.ckpt", {"state_dict": {"w": torch.full((1000,), 1.5)}})
    whole = bytearray(path.read_bytes())
    whole[whole.index(struct.pack("<2f", 1.5, 1.5)) + 400] ^= 1
    path.write_bytes(whole)
    refused(path, "differs from its checksum", capsys, own_home)


NESTED = b"(" * 100_000 + b"t" * 100_000
HASHES = b"\x80\x02}(" + b")" + b"2\x86" * 64 + b"K\x01u."
TENSOR = (
    "ctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI6\ntQ{offset}({shape}t({stride}t"
    "I00\nccollections\nOrderedDict\n)RtR"
)


def tensor(offset: str = "I0\n", shape: str = "I6\n", stride: str = "I1\n") -> bytes:
    described = TENSOR.format(offset=offset, shape=shape, stride=stride)
    return b"(dVw\n" + described.encode() + b"s."


def test_the_hand_made_description_is_right_where_it_is_not_spoilt(tmp_path):
    contents = opened(with_pickle(tmp_path / "x.pt", tensor()))
    assert torch.equal(contents.tensors["w"], torch.zeros(6))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"\x80\x02",
        b"\x80\x02}q\x00",
        b"\x80\x02}r\xff\xff\xff\x7f.",
        b"\x80\x02h\x05.",
        b"\x80\x02\x8a\xff" + b"\x01" * 10 + b".",
        b"\x80\x04\x8e" + b"\xff" * 8 + b".",
        b"\x80\x04\x95" + b"\xff" * 8 + b".",
        b"\x80\x05\x97.",
        NESTED + b".",
        HASHES,
        b"ttttttt.",
        b"cos\nsystem\n(Vtouch ran\ntR.",
        b"cbuiltins\nexec\n(Vraise SystemExit\ntR.",
        b"(Vtouch ran\nios\nsystem\n.",
        b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\x00\x40\x85\x81.",
        tensor(offset="I-1\n"),
        tensor(offset="I1\n"),
        tensor(shape="I7\n"),
        tensor(stride="I2\n"),
        tensor(shape="I6\nI100\n", stride="I1\nI100\n"),
        tensor(shape="I4611686018427387904\nI4\n", stride="I0\nI0\n"),
        tensor(shape=f"I0\nI{2**70}\n", stride="I1\nI1\n"),
        tensor(shape="I-6\n"),
        tensor(shape="Vsix\n"),
        tensor().replace(b"V0\n", b"V9\n"),
        tensor().replace(b"FloatStorage", b"QuantStorage"),
    ],
)
def test_a_hostile_description_is_refused_quickly(data, tmp_path, capsys, own_home, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(with_pickle(tmp_path / "x.pt", data), "x.pt", capsys, own_home)
    assert not (tmp_path / "ran").exists()


def test_a_tensor_that_claims_more_than_its_file_holds_takes_no_memory(tmp_path, capsys, own_home):
    """One number repeated 10¹⁵ times is a legal view, and none of our shapes."""
    claimed = tensor(shape="I1000000000000000\n", stride="I0\n")
    refused(with_pickle(tmp_path / "x.pt", claimed), "another architecture", capsys, own_home)


def test_a_description_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path, capsys, own_home):
    huge = with_pickle(tmp_path / "x.pt", b"\x80\x02" + bytes([ord("N")]) * (LARGEST + 1), zipfile.ZIP_DEFLATED)
    assert huge.stat().st_size < 100_000
    refused(huge, "which no model's has", capsys, own_home)


def test_a_lying_size_of_the_description_is_noticed(tmp_path, capsys, own_home):
    """Announced small in the table of contents, large when unpacked."""
    path = with_pickle(tmp_path / "x.pt", b"N" * (LARGEST * 2), zipfile.ZIP_DEFLATED)
    whole = path.read_bytes().replace(struct.pack("<I", LARGEST * 2), struct.pack("<I", 100))
    path.write_bytes(whole)
    refused(path, "x.pt", capsys, own_home)


def test_weights_must_lie_open_and_within_the_file(tmp_path, capsys, own_home):
    packed = tmp_path / "x.pt"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", tensor())
        archive.writestr("archive/data/0", bytes(24))
    refused(packed, "is not stored in it as it should be", capsys, own_home)
    big_endian = with_pickle(tmp_path / "y.pt", tensor())
    with zipfile.ZipFile(big_endian, "a") as archive:
        archive.writestr("archive/byteorder", b"big")
    refused(big_endian, "big-endian", capsys, own_home)
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("readme.txt", b"hello")
    refused(tmp_path / "z.zip", "no description of tensors", capsys, own_home)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_description_or_malformed(data):
    with contextlib.suppress(Malformed):
        decoded(data)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_changed_description_runs_nothing(data):
    """Whatever is changed in a pickle full of calls, reading it is harmless or refused."""
    buffer = io.BytesIO()
    torch.save({"state_dict": STATE, "x": OrderedDict(a=Path("x"), b={1, 2}), "y": Inert}, buffer)
    with zipfile.ZipFile(buffer) as archive:
        description = bytearray(archive.read(next(n for n in archive.namelist() if n.endswith("data.pkl"))))
    for _ in range(data.draw(st.integers(1, 4))):
        description[data.draw(st.integers(0, len(description) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Malformed):
        decoded(bytes(description))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_byte_anywhere_is_refused_or_changes_no_number(tmp_path, data):
    path = written(tmp_path / "x.pt", STATE)
    whole = bytearray(path.read_bytes())
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    try:
        found = opened(path)
    except CheckpointError:
        return
    assert found.tensors.keys() == STATE.keys()
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in STATE.items())
