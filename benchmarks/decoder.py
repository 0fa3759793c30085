"""Decoder speed: our fast path against our own dense transcription of the released decoder, in one interleaved run.

Ratios, because these machines are shared: every round times all variants one after the other, CPU time and wall time,
and the ratio of the medians is reported beside the load. Before anything is timed, fast and dense must agree on the
same masks. `main` prints one JSON document; progress and a table go to stderr.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from boltzformer.model.config import DecoderConfig
from boltzformer.model.decoder import Decoder, SliceTokens, Way

WORDS = 16
REFERENCE_GFLOP = {10: 76.9, 16: 82.3, 32: 96.5, 101: 158.3}
"""Of the released decoder at 1024², by number of queries."""
REFERENCE_WALL = {(101, 1024, 2): 2.06, (16, 512, 2): 0.23}
"""Seconds of the released decoders, by (queries, side, threads), on a quiet machine of this kind; the second is v2."""


@dataclass(frozen=True)
class Case:
    """One size of problem."""

    m: int
    side: int
    batch: int = 1
    threads: int = 1
    map: Literal["random", "object"] = "random"
    """'object': every query is sure of 1 % of the image (0.9 inside, 0.05 outside), as a trained model would be."""


SHORT = (Case(10, 1024), Case(32, 1024), Case(16, 512))
FULL = (
    *SHORT,
    Case(101, 1024),
    Case(10, 1024, map="object"),
    Case(10, 1024, batch=4),
    Case(10, 1024, threads=2),
    Case(101, 1024, threads=2),
    Case(16, 512, threads=2),
)


@dataclass(frozen=True)
class Variant:
    """One way to get the answer. The first two are the baselines."""

    law: Literal["per_head", "per_query"]
    way: Way | None = None
    cached: bool = False
    """A further prompt: the slice has been prepared."""
    mean: bool = False
    """The head wants only the mean mask, as in BiomedParse v2."""


DENSE, SDPA = Variant("per_head", "dense"), Variant("per_head", "sdpa")
OURS = (
    Variant("per_head"),
    Variant("per_query"),
    Variant("per_head", cached=True),
    Variant("per_query", cached=True),
    Variant("per_query", cached=True, mean=True),
)


class Bench:
    """The decoder, the features and the noise of one case."""

    def __init__(self, case: Case) -> None:
        self.case = case
        generator = torch.Generator().manual_seed(0)
        torch.manual_seed(0)  # weights come from torch's own initialisers
        self.nets = {law: Decoder(DecoderConfig(queries=case.m, law=law)).eval() for law in ("per_head", "per_query")}
        self.nets["per_query"].load_state_dict(self.nets["per_head"].state_dict())
        side = case.side // 4
        self.maps = [
            torch.randn(case.batch, 512, case.side // s, case.side // s, generator=generator) for s in (32, 16, 8)
        ]
        self.semantic = torch.randn(case.batch, 512, side, side, generator=generator) * 0.3
        self.text = torch.randn(1, WORDS, 512, generator=generator)
        if case.map == "object":
            self._concentrate(generator)
        self.noise = torch.Generator().manual_seed(1)
        self.prepared = {law: net.prepare(self.maps, self.semantic) for law, net in self.nets.items()}

    def _concentrate(self, generator: torch.Generator) -> None:
        """All queries point in one direction of the semantic map, which is large in a tenth × a tenth of the image."""
        direction = torch.randn(512, generator=generator)
        field = torch.full(self.semantic.shape[-2:], -2.94)  # σ = 0.05
        tenth = len(field) // 10
        field[3 * tenth : 4 * tenth, 5 * tenth : 6 * tenth] = 2.2  # σ = 0.9
        self.semantic = 0.01 * self.semantic + (direction / direction.square().sum())[:, None, None] * field
        for net in self.nets.values():
            last = net.mask_embed.layers[-1]
            assert isinstance(last, torch.nn.Linear)
            with torch.no_grad():
                last.weight.mul_(0.01)
                last.bias.copy_(direction)

    def prepare(self, variant: Variant) -> SliceTokens:
        """The slice as a variant needs it."""
        if variant.cached:
            return self.prepared[variant.law]
        return self.nets[variant.law].prepare(self.maps, self.semantic, dense=variant.way is not None)

    def run(self, variant: Variant) -> None:
        """What is timed: preparation unless cached, noise, all layers."""
        net, image = self.nets[variant.law], self.prepare(variant)

        def noise(layer: int) -> Tensor:
            return torch.rand(net.noise_shape(image, 1, layer), generator=self.noise)

        net(image, self.text, noise=noise, way=variant.way, mean=variant.mean)

    def same_mask_error(self, law: Literal["per_head", "per_query"]) -> tuple[float, float]:
        """Largest difference to dense with the same masks, as a share of the largest logit; and the share visited."""
        net, image = self.nets[law], self.prepared[law]

        def noise(layer: int) -> Tensor:
            return torch.rand(net.noise_shape(image, 1, layer), generator=self.noise)

        wanted = net(image, self.text, noise=noise, way="dense", trace=True)
        masks = [look.blocked for look in wanted.trace if look.blocked is not None]
        made = net(image, self.text, masks=masks)
        visited = statistics.mean(float(look.visited.mean()) for look in wanted.trace)
        return float((made.masks - wanted.masks).abs().max() / wanted.masks.abs().max()), visited


def gflop(m: int, side: int = 1024) -> float:
    """Of the dense baseline, by counter, 2 per multiply-add; on the meta device, so nothing is computed."""
    with torch.device("meta"), torch.no_grad():
        net = Decoder(DecoderConfig(queries=m))
        maps = [torch.empty(1, 512, side // stride, side // stride) for stride in (32, 16, 8)]
        image = net.prepare(maps, torch.empty(1, 512, side // 4, side // 4), dense=True)
        with FlopCounterMode(display=False) as counter:
            noise: Callable[[int], Tensor] = lambda layer: torch.empty(net.noise_shape(image, 1, layer))  # noqa: E731
            net(image, torch.empty(1, WORDS, 512), noise=noise, way="dense")
    return counter.get_total_flops() / 1e9


def clock(work: Callable[[], None]) -> tuple[float, float]:
    """CPU seconds and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def measure(case: Case, rounds: int) -> Iterator[dict[str, Any]]:
    """One row per variant."""
    torch.set_num_threads(case.threads)
    bench, error, density = Bench(case), {}, {}
    for law in ("per_head", "per_query"):
        error[law], density[law] = bench.same_mask_error(law)
        if not error[law] < 1e-5:
            raise SystemExit(f"{case}, {law}: fast and dense differ by {error[law]:.1e} with the same masks.")
    variants = (DENSE, SDPA, *OURS)
    for variant in variants:
        bench.run(variant)  # warm up
    load = os.getloadavg()[0]
    times: dict[Variant, list[tuple[float, float]]] = {variant: [] for variant in variants}
    for _ in range(rounds):
        for variant in variants:
            times[variant].append(clock(lambda variant=variant: bench.run(variant)))  # type: ignore[misc]
    load = max(load, os.getloadavg()[0])
    cpu = {variant: statistics.median(c for c, _ in found) for variant, found in times.items()}
    wall = {variant: statistics.median(w for _, w in found) for variant, found in times.items()}
    spread = {variant: max(c for c, _ in found) / min(c for c, _ in found) for variant, found in times.items()}
    for variant in OURS:
        yield {
            **asdict(case),
            "law": variant.law,
            "cached": variant.cached,
            "mean": variant.mean,
            "ratio_cpu": round(cpu[DENSE] / cpu[variant], 2),
            "ratio_wall": round(wall[DENSE] / wall[variant], 2),
            "ratio_cpu_sdpa": round(cpu[SDPA] / cpu[variant], 2),
            "ratio_wall_sdpa": round(wall[SDPA] / wall[variant], 2),
            "cpu_ms": round(1e3 * cpu[variant], 1),
            "wall_ms": round(1e3 * wall[variant], 1),
            "dense_cpu_ms": round(1e3 * cpu[DENSE], 1),
            "dense_wall_ms": round(1e3 * wall[DENSE], 1),
            "same_mask_error": error[variant.law],
            "visited": round(density[variant.law], 4),
            "load": round(load, 2),
            "noisy": load > (os.cpu_count() or 1) or max(spread[DENSE], spread[variant]) > 1.25,
        }


def main(full: bool = False, as_json: bool = False) -> int:
    """Runs the short or the full set and prints one JSON document."""
    threads = torch.get_num_threads()
    flops = {m: gflop(m) for m in REFERENCE_GFLOP}
    for m, reference in REFERENCE_GFLOP.items():
        if abs(flops[m] / reference - 1) > 0.05:
            raise SystemExit(f"The dense baseline has {flops[m]:.1f} GFLOP at m = {m}, the released one {reference}.")
    rows: list[dict[str, Any]] = []
    try:
        with torch.inference_mode():
            for case in FULL if full else SHORT:
                for row in measure(case, rounds=7 if full else 3):
                    rows.append(row)
                    print(_line(row), file=sys.stderr, flush=True)
    finally:
        torch.set_num_threads(threads)
    document = {
        "rows": rows,
        "baseline": [
            {"m": m, "side": 1024, "gflop": round(flops[m], 1), "reference_gflop": reference}
            for m, reference in REFERENCE_GFLOP.items()
        ],
        "reference_wall_s": [
            {"m": m, "side": side, "threads": n, "seconds": wall} for (m, side, n), wall in REFERENCE_WALL.items()
        ],
        "torch": torch.__version__,
        "cpus": os.cpu_count(),
    }
    print(json.dumps(document, indent=None if as_json else 2))
    return 0


def _line(row: dict[str, Any]) -> str:
    case = f"m={row['m']:<4}{row['side']}² batch {row['batch']} threads {row['threads']} {row['map']:<7}"
    what = f"{row['law']:<10}{'cached ' if row['cached'] else ''}{'mean ' if row['mean'] else ''}"
    return (
        f"{case}{what:<24}{row['ratio_cpu']:>6}× cpu {row['ratio_wall']:>6}× wall  {row['cpu_ms']:>7} ms of "
        f"{row['dense_cpu_ms']}  load {row['load']}{'  noisy' if row['noisy'] else ''}"
    )


if __name__ == "__main__":
    sys.exit(main(full="--full" in sys.argv, as_json="--json" in sys.argv))
