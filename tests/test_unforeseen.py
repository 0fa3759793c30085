"""Whatever comes ends in a sentence: no traceback on the screen, no batch that stops, no command to the terminal."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
from image_files import phantom as voxels
from image_files import stored, write_series
from phantom_model import PHANTOM_MODEL
from safetensors.torch import load_file, save_file

from boltzformer import Engine, load
from boltzformer.cli.casework import Casework, run_all
from boltzformer.cli.cli import run
from boltzformer.cli.request import Request
from boltzformer.cli.show import Show
from boltzformer.engine.devices import choose
from boltzformer.errors import CheckpointError
from boltzformer.io.phantom import BRIGHT
from boltzformer.io.results import STORY
from boltzformer.speaking import MOST, sentence_about, shown
from boltzformer.weights import checkpoint

DEEP = "[" * 100_000
ESCAPE = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202e"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Calls the command line; what it said, if that is one sentence and exit code 2."""

    def call(*arguments: object) -> str:
        capsys.readouterr()
        assert run([str(argument) for argument in arguments]) == 2, arguments
        *before, said = capsys.readouterr().err.splitlines()
        assert said.startswith("boltzformer: ")
        assert not [line for line in before if not line.startswith(("Model", "Device"))]
        return said

    return call


Refused = Callable[..., str]


def segment(*arguments: object) -> int:
    return run(["segment", *map(str, arguments), "-p", BRIGHT, "--slices", "3", "--model", str(PHANTOM_MODEL)])


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e400"])
def test_places_at_infinity_are_refused(small_file: Path, tmp_path: Path, number: str, refused: Refused) -> None:
    common = ["segment", small_file, "-p", BRIGHT, "-o", tmp_path / "out", "--model", PHANTOM_MODEL]
    for option, value in {
        "--region": f"0,0,0:9,9,{number}",
        "--box": f"{number},0,0:9,9,9",
        "--here": f"1,{number},1",
    }.items():
        for more in ([], ["--mm"]):
            assert "can't be understood" in refused(*common, option, value, *more)
    assert "no width" in refused(*common, "--window", f"{number}/40")
    assert "no width" in refused(*common, "--window", f"400/{number}")
    assert "--smallest needs" in refused(*common, "--smallest", number)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("corner", ["1e308", "-1e308", "1e19"])
def test_places_light_years_away_are_no_others(small_file: Path, tmp_path: Path, corner: str, refused: Refused) -> None:
    how = ["--region", f"{corner},0,0:{corner},9,9", "--mm", "--model", PHANTOM_MODEL]
    said = refused("segment", small_file, "-p", BRIGHT, "-o", tmp_path / "out", *how)
    assert "outside the image" in said or "can't be" in said


def test_numbers_that_are_none(small_file: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in ("²", "٣²", "9" * 5000):
        assert "holds no series" in refused("info", small_file, "--series", number)
        assert "no device" in refused("segment", small_file, "-p", "x", "-o", "x", "--device", f"cuda:{number}")
        assert "is not VALUE=NAME" in refused("dataset", "add", "x", small_file, "--label", f"{number}=x")
        monkeypatch.setenv("BOLTZFORMER_THREADS", number)
        assert "whole number" in refused("info")
        monkeypatch.delenv("BOLTZFORMER_THREADS")


@pytest.mark.skipif(os.name == "nt", reason="no such files there")
def test_pipes_and_devices_are_no_provenances(small_file: Path, tmp_path: Path, refused: Refused) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        assert "could not be read" in refused("segment", small_file, "--reproduce", path, "-o", tmp_path / "out")
        assert "can't be read" in refused("evaluate", path, "--output", tmp_path / "out")
    folder = tmp_path / "out" / "small"
    folder.mkdir(parents=True)
    os.mkfifo(folder / f"small{STORY}")
    assert "exists already" in refused("segment", small_file, "-p", BRIGHT, "-o", tmp_path / "out")


def test_names_that_no_system_can_hold(tmp_path: Path, refused: Refused) -> None:
    for name in ("x" * 300 + ".nii.gz", "x" * 300, "/".join(["x" * 200] * 25)):
        assert "could not be read" in refused("segment", tmp_path / name, "-p", BRIGHT, "-o", tmp_path / "out")
        refused("info", tmp_path / name)


def test_links_that_lead_in_circles(small_file: Path, tmp_path: Path, refused: Refused) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "circle.nii.gz").symlink_to(folder / "circle.nii.gz")
    circle = folder / "circle.nii.gz"
    refused("segment", circle, "-p", BRIGHT, "-o", tmp_path / "out")
    (tmp_path / "link").symlink_to(tmp_path / "link")
    (tmp_path / "lost").symlink_to(tmp_path / "gone")
    for place in ("link", "link/deeper", "lost", "lost/deeper"):  # found before the work: no model is loaded
        assert "leads nowhere" in refused("segment", small_file, "-p", BRIGHT, "-o", tmp_path / place)
    lessons = ["--lessons", circle, "--lesson-slices", "3"]
    assert "in a circle" in refused("segment", small_file, "-p", BRIGHT, "-o", tmp_path / "out", *lessons)
    for arguments in (
        ["segment", small_file, "-o", tmp_path / "out", "--reproduce", circle],
        ["segment", small_file, "-p", BRIGHT, "-o", tmp_path / "out", "--model", tmp_path / "link"],
        ["info", circle],
        ["info", "--model", circle],
        ["dataset", "check", circle],
        ["evaluate", circle, "--output", tmp_path / "out"],
        ["finetune", circle, "--output", tmp_path / "out"],
    ):
        refused(*arguments)
    for name in ("a", "b", "c"):  # as many ways as leaves on a tree of forty levels
        (folder / name).symlink_to(folder)
    (folder / "good.nii.gz").symlink_to(small_file)
    assert segment(folder, "-o", tmp_path / "out") == 3
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["small"]


def test_a_file_name_that_is_no_utf8(small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / os.fsdecode(b"sc\xffan.nii.gz")
    try:
        image.write_bytes(small_file.read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    assert segment(image, "-o", tmp_path / "out") == 0
    assert "sc\\xffan: bright blob" in capsys.readouterr().err
    [story] = (tmp_path / "out").rglob(f"*{STORY}")
    assert json.loads(story.read_text("utf-8"))["image"]["name"] == os.fsdecode(b"sc\xffan")
    assert run(["info", str(image)]) == 0
    assert "sc\\xffan" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["--reproduce", "a place"])
def test_old_provenances_of_any_form(small_file: Path, tmp_path: Path, what: str, refused: Refused) -> None:
    whole = {"prompts": [BRIGHT], "seed": 0, "plan": {"plane": "axial"}, "files": []}
    changes = [
        {"request": None, "seed": None},
        {"request": [1]},
        {"request": {"seed": []}},
        {"request": {"samples": "3"}},
    ]
    changes += [
        {"files": [5]},
        {"files": None},
        {"prompts": None},
        {"prompts": [5]},
        {"plan": None},
        {"threads": 10**9},
    ]
    texts = [json.dumps({**whole, **change}) for change in changes] + ["[]", "5", "null", "", DEEP, '{"a":' * 100_000]
    folder = tmp_path / "out" / "small"
    folder.mkdir(parents=True)
    story = folder / f"small{STORY}"
    common = ["segment", small_file, "--model", PHANTOM_MODEL]
    for text in texts:
        story.write_text(text, "utf-8")
        if what == "--reproduce":
            refused(*common, "--reproduce", story, "-o", tmp_path / "again")
        else:
            assert "exists already" in refused(*common, "-p", BRIGHT, "-o", tmp_path / "out")
    assert list(folder.iterdir()) == [story]
    assert not (tmp_path / "again").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_standard_output_that_is_full(
    small_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for call in (
        partial(run, ["prompts"]),
        partial(run, ["--version"]),
        partial(segment, small_file, "-o", tmp_path / "out", "--json"),
    ):
        with open("/dev/full", "w", encoding="utf-8") as full:
            monkeypatch.setattr(sys, "stdout", full)
            assert call() == 2
            monkeypatch.undo()
        said = capsys.readouterr().err
        assert said.startswith("boltzformer: Standard output can't be written (No space left on device)")
        assert said.count("\n") == 1
    assert (tmp_path / "out" / "small" / "bright-blob.nii.gz").is_file()  # what was asked for is there


@pytest.mark.skipif(os.name == "nt", reason="a shell of another kind")
def test_standard_output_that_is_closed(tmp_path: Path) -> None:
    """Told where there was something to say; a file that is opened next is no standard output."""
    ours = f"{shlex.quote(sys.executable)} -m boltzformer"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for given, code in (("--version", 2), ("prompts liver", 2), ("models list --nonsense", 2)):
        done = subprocess.run(
            f"{ours} {given} >&-", shell=True, env=environment, stderr=subprocess.PIPE, text=True, check=False
        )
        assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
        assert ("Standard output can't be written" in done.stderr) == ("--nonsense" not in given)
    silent = f"{ours} models --help >&- 2>&-"
    assert subprocess.run(silent, shell=True, env=environment, check=False).returncode == 2


def test_a_home_that_is_nobodys(monkeypatch: pytest.MonkeyPatch, refused: Refused) -> None:
    monkeypatch.setenv("BOLTZFORMER_HOME", "~nobody-of-this-name/x")
    for arguments in (["info", "--model", "x"], ["models", "list"], ["cache", "clear"]):
        assert "BOLTZFORMER_HOME" in refused(*arguments)


def with_config(path: Path, change: Callable[[dict], object]) -> Path:
    """The phantoms' model with another configuration."""
    about = checkpoint.read(PHANTOM_MODEL)
    config = json.loads(json.dumps(about.config.to_dict()))
    text = change(config)
    header = {"format": checkpoint.FORMAT, "history": "{}", "tokenizer": about.tokenizer}
    told = text if isinstance(text, str) else json.dumps(config)
    save_file(load_file(PHANTOM_MODEL), path, metadata={**header, "config": told})
    return path


HUGE = {
    "layers": lambda c: c["decoder"].update(layers=10**12),
    "text layers": lambda c: c["text"].update(layers=10**12),
    "blocks": lambda c: c["encoder"].update(blocks=[10**12] * len(c["encoder"]["blocks"])),
    "pixel layers": lambda c: c["pixel_decoder"].update(layers=10**12),
    "width": lambda c: c["text"].update(width=10**12),
    "side": lambda c: c.update(image_size=96 * 10**9),
    "many strides": lambda c: c["decoder"].update(strides=list(range(10**5, 0, -1))),
    "infinity": lambda c: c["decoder"].update(base_temperature=float("inf")),
    "a long number": lambda c: json.dumps(c).replace('"layers": 9', '"layers": ' + "9" * 5000),
    "depth": lambda _: DEEP,
}


@pytest.mark.parametrize("what", HUGE)
def test_a_checkpoint_that_asks_for_a_trillion_layers(tmp_path: Path, what: str, refused: Refused) -> None:
    path = with_config(tmp_path / "m.safetensors", HUGE[what])
    assert "describes its model wrongly" in refused("info", "--model", path)
    with pytest.raises(CheckpointError):
        load(path)


def test_files_of_other_programs_that_lie_about_themselves(small_file: Path, tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "a.mha").write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\nElementNumberOfChannels = -3\n"
        "ElementSpacing = 1 1 1\nElementDataFile = LOCAL\n" + "x" * 64
    )
    write_series(tmp_path / "b", voxels((1, 6, 7)), stored((0, 1, 2), (1, 1, 1), "anisotropic"), NumberOfFrames="-3")
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((2, 8, 8), np.uint16), photometric="minisblack", metadata=None)
    content = bytearray((tmp_path / "c.tif").read_bytes())
    second = int.from_bytes(content[4:8], "little")
    second = int.from_bytes(content[second + 2 + 12 * content[second] :][:4], "little")  # the link to the second page
    content[second : second + 40] = b"\xff" * 40
    (tmp_path / "c.tif").write_bytes(content)
    for name in ("a.mha", "b", "c.tif"):
        refused("info", tmp_path / name)
    images = [tmp_path / name for name in ("a.mha", "b", "c.tif")]
    assert segment(*images, small_file, "-o", tmp_path / "out") == 3
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["small"]


def test_one_bad_case_never_ends_a_batch_and_its_traceback_goes_into_the_log(
    small_file: Path, tmp_path: Path, home: Path, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    images = []
    for name in ("DOE_JOHN", "second"):
        images.append(tmp_path / f"{name}.nii.gz")
        images[-1].write_bytes(small_file.read_bytes())
    met: Iterator[str] = iter(["DOE^JOHN is a name that breaks everything"])

    def breaking() -> Engine:
        for words in met:
            raise LookupError(words)
        return engine

    about, place = checkpoint.read(PHANTOM_MODEL), choose("cpu")
    with Show(False) as show:
        work = Casework(Request((BRIGHT,), slices="3"), tmp_path / "out", about, place, breaking, show)
        assert run_all(work, images) == 3
    said = capsys.readouterr().err
    log = home / "logs" / "errors.log"
    assert "DOE_JOHN: It failed in a way that was not foreseen (LookupError: DOE^JOHN" in said
    assert str(log) in said
    assert (tmp_path / "out" / "second" / "bright-blob.nii.gz").is_file()
    told = log.read_text("utf-8")
    assert "in breaking" in told
    assert "LookupError" in told
    assert "JOHN is" not in told.replace('"DOE^JOHN is', "")  # the line of this test alone may name him
    assert log.stat().st_mode & 0o077 == 0


def test_the_log_does_not_grow_for_ever(home: Path) -> None:
    try:
        raise KeyError("x")
    except KeyError as error:
        sentence_about(error)
        log = home / "logs" / "errors.log"
        log.write_bytes(b"x" * (MOST + 1))
        sentence_about(error)
    assert log.stat().st_size < 10_000
    assert sorted(path.name for path in log.parent.iterdir()) == ["errors.log", "errors.old"]


def test_escapes_in_names_and_headers_are_shown_as_text(
    small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / f"{ESCAPE}[b].nii.gz"
    image.write_bytes(small_file.read_bytes())
    write_series(
        tmp_path / "b",
        voxels((2, 6, 7)),
        stored((0, 1, 2), (1, 1, 1), "anisotropic", (2, 6, 7)),
        SeriesDescription=ESCAPE,
    )
    write_series(tmp_path / "b" / "c", voxels((2, 6, 7)), stored((0, 1, 2), (1, 1, 1), "anisotropic", (2, 6, 7)))
    assert run(["info", str(image), str(tmp_path / "b")]) == 0
    assert segment(image, tmp_path / f"{ESCAPE}.nii", "-o", tmp_path / "out") == 3
    assert run(["info", str(tmp_path / f"{ESCAPE}\n.nii")]) == 2
    assert (
        run(["segment", str(small_file), "-p", ESCAPE, "-o", str(tmp_path / "p"), "--model", str(PHANTOM_MODEL)]) == 0
    )
    assert run([ESCAPE]) == 2
    said = "".join(capsys.readouterr())
    assert r"\x1b[31mred\x1b]0;title\x07\x9b2J\u202e" in said
    assert not set("\x1b\x07\x9b\u202e\r") & set(said)


def test_what_people_write_is_shown_as_it_is() -> None:
    for text in ("Müller läuft – schnell", "肺结节", "می‌خواهم", "a\\b", "naïve ² ½", "🫁"):
        assert shown(text) == text
    assert shown("a\nb\tc") == "a\\nb\\tc"
    assert shown("a\nb", lines=True) == "a\nb"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load(PHANTOM_MODEL, device="cpu")
