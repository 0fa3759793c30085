"""The comparison that a release stands on tells what is missing and what came along."""

import re
import tomllib

from release_check import EXTRAS, ROOT, differences, unwanted

FOR_DEVELOPERS = {"desk", "docs", "release", "test"}
"""`desk` is what Slicer's Python lacks, a part of `io`."""


def test_a_release_holds_what_is_tracked_and_nothing_else() -> None:
    tracked = ["core/boltzformer/a.py", "napari_boltzformer/b.py"]
    assert differences(["boltzformer/a.py", "napari_boltzformer/b.py"], [*tracked, "README.md"], tracked) == []
    wrong = differences(["boltzformer/a.py", "boltzformer/secret.txt"], ["core/boltzformer/a.py"], tracked)
    assert wrong == [
        "not in the wheel: napari_boltzformer/b.py",
        "not tracked, but in the wheel: boltzformer/secret.txt",
        "not in the source distribution: napari_boltzformer/b.py",
    ]


def test_what_comes_along_unasked_is_told() -> None:
    for viewers_side in ("", "io", "napari"):
        assert unwanted(viewers_side, ["numpy", "torch", "nvidia-cublas"]) == ["torch", "nvidia-cublas"]
    for without_a_window in ("", "io", "engine", "cluster"):
        assert unwanted(without_a_window, ["numpy", "PyQt6", "PyQt6_sip"]) == ["PyQt6", "PyQt6_sip"]
    assert unwanted("engine", ["torch", "tokenizers"]) == []
    assert unwanted("napari", ["napari", "PyQt6", "QtPy"]) == []
    assert unwanted("all+mcp+cluster", ["torch", "PyQt6"]) == []


def test_licences_are_read_of_everything_that_a_user_can_install() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    reached: set[str] = set()
    more = set(EXTRAS[-1].split("+"))
    while more - reached:
        reached |= more
        within = " ".join(line for name in reached for line in extras[name])
        more = {name for listed in re.findall(r"napari-boltzformer\[(.+?)\]", within) for name in listed.split(",")}
    assert set(extras) - reached == FOR_DEVELOPERS
