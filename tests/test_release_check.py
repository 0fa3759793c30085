"""The comparison that a release stands on tells what is missing and what came along."""

from release_check import differences


def test_a_release_holds_what_is_tracked_and_nothing_else() -> None:
    tracked = ["core/boltzformer/a.py", "napari_boltzformer/b.py"]
    assert differences(["boltzformer/a.py", "napari_boltzformer/b.py"], [*tracked, "README.md"], tracked) == []
    wrong = differences(["boltzformer/a.py", "boltzformer/secret.txt"], ["core/boltzformer/a.py"], tracked)
    assert wrong == [
        "not in the wheel: napari_boltzformer/b.py",
        "not tracked, but in the wheel: boltzformer/secret.txt",
        "not in the source distribution: napari_boltzformer/b.py",
    ]
