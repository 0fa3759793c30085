"""Files of PyTorch before 1.6 are read without running them; a damaged one is refused with a sentence."""

import pickle
from pathlib import Path

import pytest
import torch

from boltzformer.errors import CheckpointError
from boltzformer.weights.convert.archive import old_weights


def written(state: object, path: Path) -> Path:
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return path


def test_the_tensors_are_those_that_were_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shared = torch.randn(6, 4)
    state = {"a": torch.randn(3, 2, 1, 1), "b": torch.arange(5), "half": torch.rand(3).half(), "part": shared[2:4].T}
    found = old_weights(written(state, tmp_path / "x.pth"))
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in state.items())


class Bomb:
    """What a hostile file would have torch do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_nothing_in_it_is_run(tmp_path: Path) -> None:
    bombs = {"w": torch.rand(2), "x": Bomb(tmp_path / "ran")}
    with pytest.raises(CheckpointError, match="more than a table of tensors"):
        old_weights(written(bombs, tmp_path / "x.pth"))
    (tmp_path / "y.pth").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    with pytest.raises(CheckpointError, match="is no whole PyTorch checkpoint"):
        old_weights(tmp_path / "y.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
def test_half_a_file_is_refused(share: float, tmp_path: Path) -> None:
    path = written({"w": torch.rand(1000), "v": torch.rand(10)}, tmp_path / "x.pth")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(CheckpointError, match="download or copy it again"):
        old_weights(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="can't be read"):
        old_weights(tmp_path / "none.pth")
