"""The whole of `biomedparse_v2.ckpt` as it would come: 371.8 million parameters, converted within a memory budget."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hub_server import Hub
from synthetic import lightning, random_state

from boltzformer.home import model_file
from boltzformer.model.config import biomedparse_v2
from boltzformer.weights import registry

KEYS = json.loads((Path(__file__).parents[1] / "keys" / "biomedparse_v2.json").read_text("utf-8"))
WEIGHTS = 4 * sum(torch.Size(shape).numel() for shape in KEYS.values())
CARD = b"---\nlicense: other\nlicense_name: research-only\n---\n# The origin\nResearch use only.\n"

WATCHED = """
import sys, threading
from boltzformer.cli.cli import run

def anonymous():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) * 1024

peak, ended = 0, threading.Event()
def watch():
    global peak
    while not ended.wait(0.005):
        peak = max(peak, anonymous())

watcher = threading.Thread(target=watch)
watcher.start()
code = run(sys.argv[1:])
ended.set()
watcher.join()
print("peak", peak)
sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="anonymous memory is measured through /proc")
def test_the_published_layout_is_downloaded_converted_and_verified_within_its_memory(tmp_path, monkeypatch):
    state = random_state(KEYS)
    source = lightning(state, tmp_path / "biomedparse_v2.ckpt")
    monkeypatch.setenv("HF_TOKEN", "let-me-in")
    files = {"microsoft/BiomedParse/biomedparse_v2.ckpt": source, "microsoft/BiomedParse/README.md": CARD}
    with Hub(files, gated=frozenset({"microsoft/BiomedParse"})) as hub:
        hub.cuts = [700_000_000]
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        ended = subprocess.run(
            [sys.executable, "-c", WATCHED, "models", "get", "biomedparse-v2"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    assert "1050 tensors loaded, every name and shape fits" in ended.stdout
    assert "licence: other, research-only" in ended.stdout
    peak = int(ended.stdout.split()[-1])
    assert peak <= 1.5 * WEIGHTS, f"{peak / 1e9:.2f} GB for {WEIGHTS / 1e9:.2f} GB of weights"
    source.unlink()
    model, about = registry.load("biomedparse-v2")
    assert about.config == biomedparse_v2()
    assert about.history.licence == "other, research-only"
    assert "Research use only." in model_file("biomedparse-v2").with_suffix(".md").read_text("utf-8")
    assert model.text.tokenize("left kidney in abdominal CT") == [49406, 1823, 14610, 530, 39328, 1122, 49407]
    loaded = model.state_dict()
    assert loaded.keys() == KEYS.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())
