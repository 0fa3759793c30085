"""The benchmark measures what it says: the baseline does the released decoder's work, and rows are complete."""

from __future__ import annotations

import pytest
import torch

from benchmarks.decoder import OURS, REFERENCE_GFLOP, Bench, Case, gflop, measure


@pytest.mark.parametrize("m", REFERENCE_GFLOP)
def test_the_dense_baseline_does_the_work_of_the_released_decoder(m: int) -> None:
    assert gflop(m) == pytest.approx(REFERENCE_GFLOP[m], rel=0.05)


def test_a_run_gives_one_complete_row_per_variant() -> None:
    threads = torch.get_num_threads()
    with torch.no_grad():
        rows = list(measure(Case(2, 64, threads=threads), rounds=1))
    assert [(row["law"], row["cached"], row["mean"]) for row in rows] == [(v.law, v.cached, v.mean) for v in OURS]
    for row in rows:
        assert {"m", "side", "batch", "threads", "ratio_cpu", "ratio_wall", "noisy", "load"} <= row.keys()
        assert row["ratio_cpu"] > 0
        assert row["same_mask_error"] < 1e-5


def test_the_concentrated_map_is_sure_of_one_percent_of_the_image() -> None:
    with torch.no_grad():
        bench = Bench(Case(3, 256, map="object"))
        net, image = bench.nets["per_head"], bench.prepared["per_head"]
        looks = net(
            image, bench.text, noise=lambda layer: torch.rand(net.noise_shape(image, 1, layer)), trace=True
        ).trace
    finest = looks[2].guess
    assert (finest > 0.8).float().mean().item() == pytest.approx(0.01, abs=0.005)
    assert (finest < 0.1).float().mean() > 0.95
