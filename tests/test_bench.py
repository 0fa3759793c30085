"""`make bench` runs what needs no data, and draws what was measured."""

import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from boltzformer.cli.proof_cli import _script

ROOT = Path(__file__).parents[1]


@pytest.fixture
def everything(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return _script("everything")


def test_a_ratio_is_drawn_in_both_kinds_of_picture_with_its_words(everything: ModuleType, tmp_path: Path) -> None:
    bars = [
        everything.Bar("first pass <default>", 2.5, "of dense & slow", 0.4),
        everything.Bar("images", 0.5, "of SimpleITK"),
    ]
    svg, png = everything.draw(bars, tmp_path / "bench", "Times as quick")
    text = svg.read_text("utf-8")
    assert "first pass &lt;default&gt;" in text
    assert "2.50 × of dense &amp; slow, 40 % of the floor" in text
    size = tuple(int(one) for one in re.findall(r'(?:width|height)="(\d+)"', text)[:2])
    with Image.open(png) as image:
        assert image.size == size
        assert len(image.convert("RGB").getcolors(100_000)) > 4


def test_what_scripts_say_becomes_figures_with_baseline_and_load(everything: ModuleType) -> None:
    (found,) = everything.images("DICOM series   230 MB/s   SimpleITK     137 MB/s   ratio 1.68\n")
    assert (found.what, found.baseline, found.ratio) == ("DICOM series", "SimpleITK", 1.68)
    told = {"volumes": 12, "baseline": "two plain commands", "load": [1, 3], "cpu_ratio": 1.25, "pace_ratio": 1.0}
    assert [one.ratio for one in everything.archive(json.dumps(told))] == [0.8, 1.0]
    row = {"model": "tiny", "side": 96, "precision": "float32", "ratio_cpu": 1.2, "load": 1.0, "cpu_s": 1.0}
    (found,) = everything.whole_slice(
        json.dumps({"rows": [{**row, "parts_s": {"encoder": 1e3, "pixel decoder": 1e3, "decoder": 0.1}}]})
    )
    assert 0 <= found.share < 0.01
    assert found.floor_s > 0


@pytest.mark.slow
def test_one_command_measures_writes_and_draws(
    everything: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert everything.main(["--quick", "--only", "volume", "--output", str(tmp_path / "bench")]) == 0
    told = json.loads((tmp_path / "bench" / "bench.json").read_text("utf-8"))["figures"]
    assert {one["subject"] for one in told} == {"volume"}
    assert all(one["ratio"] > 0 and one["baseline"] for one in told)
    assert {path.name for path in (tmp_path / "bench").iterdir()} == {"bench.json", "bench.svg", "bench.png"}
    assert "| volume | tiny: a further prompt on kept slices |" in capsys.readouterr().out
