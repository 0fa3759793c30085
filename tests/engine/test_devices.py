"""Where a model runs, and what is given up when memory is full."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from phantom_model import PHANTOM_MODEL

import boltzformer
from boltzformer.engine.devices import Effort, Place, choose, is_out_of_memory
from boltzformer.io.phantom import BRIGHT, Phantom


def test_auto_says_why() -> None:
    place = choose()
    assert place.device.type in place.why.lower() or "GPU" in place.why
    assert place.exact or place.device.type != "cpu"
    cpu = choose("cpu")
    assert (cpu.device.type, cpu.dtype, cpu.exact) == ("cpu", torch.float32, True)
    assert boltzformer.load(PHANTOM_MODEL, device="cpu").why == "The device cpu was asked for."


@pytest.mark.parametrize(
    ("device", "dtype", "words"),
    [
        ("gpu", "auto", "no device 'gpu'"),
        ("cpu:x", "auto", "no device 'cpu:x'"),
        ("cpu", "fp16", "badly in float16"),
        ("cpu", "int8", "no precision 'int8'"),
        ("cuda:4711", "auto", "cuda"),
    ],
)
def test_what_is_not_there_is_said(device: str, dtype: str, words: str) -> None:
    with pytest.raises(boltzformer.BoltzFormerError, match=f"(?i){words}"):
        boltzformer.load(PHANTOM_MODEL, device=device, dtype=dtype)


def test_bfloat16_on_a_cpu_only_if_asked_for(small: Phantom) -> None:
    rough = boltzformer.load(PHANTOM_MODEL, device="cpu", dtype="bf16")
    fine = boltzformer.load(PHANTOM_MODEL, device="cpu")
    answers = [boltzformer.segment(small.volume, BRIGHT, model=one, slices=[8]) for one in (rough, fine)]
    assert [one.provenance["dtype"] for one in answers] == ["bfloat16", "float32"]
    a, b = (one.slices[0].logits.astype(int) for one in answers)
    assert not np.array_equal(a, b)
    assert np.abs(a - b).mean() < 16


def test_the_ladder_gives_up_one_thing_at_a_time_down_to_the_cpu() -> None:
    effort = Effort(Place(torch.device("mps"), torch.float32, ""), batch=4, together=4)
    steps = []
    while (easier := effort.easier()) is not None:
        effort, adjusted = easier
        steps.append(adjusted.what)
        assert "full" in adjusted.why
    assert [step.split(" instead")[0].split(";")[0] for step in steps] == [
        *("2 slices at once", "1 slices at once", "2 prompts at once", "1 prompts at once"),
        *("No features are kept for later prompts", "bfloat16", "The CPU does the work, in float32"),
        "No features are kept for later prompts",
    ]
    assert effort.place.exact


def test_a_full_machine_is_known_by_its_words() -> None:
    with pytest.raises(RuntimeError) as failure:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(failure.value)
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes can't be multiplied"))


FULL = """
import resource, sys
from dataclasses import replace
from pathlib import Path
import numpy as np, torch
import boltzformer
from boltzformer.weights import checkpoint
from boltzformer.weights.checkpoint import History
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import tiny

checkpoint.save(sys.argv[1], BoltzFormer(replace(tiny(), image_size=1536)), History("greedy"))
engine = boltzformer.load(sys.argv[1], device="cpu")
volume = boltzformer.Volume(np.zeros((2, 64, 64), np.uint8), boltzformer.Grid.pixels((2, 64, 64)))
in_use = int(Path("/proc/self/statm").read_text("utf-8").split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (in_use + 64_000_000,) * 2)
try:
    for event in engine.segment(volume, "anything"):
        print(type(event).__name__, getattr(event, "what", ""))
except boltzformer.OutOfMemory as error:
    print("OutOfMemory", error)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits a process's memory for a test")
def test_a_full_machine_is_a_sentence_not_a_crash(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path / "greedy.safetensors")]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["Started", "Adjusted", "OutOfMemory"]
    assert "No features are kept" in lines[1]
    assert "too little memory for the model 'greedy'" in lines[2]
