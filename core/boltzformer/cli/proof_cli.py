"""Commands for who doubts our numbers: `boltzformer parity` and `boltzformer bench`."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from boltzformer.errors import BoltzFormerError
from boltzformer.speaking import say

bench = typer.Typer(help="Measure this project's claims on this machine (in a source checkout).", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable, on standard output.")]


def parity(
    folder: Annotated[Path, typer.Argument(help="A folder with recorded tensors (NAME.safetensors and NAME.json).")],
    as_json: AsJson = False,
) -> None:
    """Replay recorded tensors of the reference: does our model give the same numbers? Exit code 1 on any miss."""
    from boltzformer.weights.parity import replay, summarize

    rows = []
    for row in replay(folder):
        rows.append(row)
        if as_json:
            say(json.dumps(asdict(row)))
        else:
            error = "-" if row.error is None else f"{row.error:.1e}"
            verdict = "ok" if row.passed else f"MISS {row.note}"
            say(f"{row.file:36} {row.tensor:44} {row.way:6} {error:>8} (≤ {row.tolerance:.1e}) {verdict}")
    summary = summarize(rows)
    say(json.dumps(asdict(summary)) if as_json else str(summary))
    if not summary.passed:
        raise typer.Exit(1)


@bench.command()
def decoder(
    full: Annotated[bool, typer.Option("--full", help="More sizes, batches, threads and rounds.")] = False,
    as_json: AsJson = False,
) -> None:
    """The decoder's speed against a dense transcription of the released one, as ratios."""
    script = Path(str(files("boltzformer"))).parents[1] / "benchmarks" / "decoder.py"
    spec = importlib.util.spec_from_file_location("boltzformer_bench_decoder", script)
    if not script.is_file() or spec is None or spec.loader is None:
        raise BoltzFormerError("Benchmarks are not installed: run this in a checkout of the source code.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    raise typer.Exit(module.main(full, as_json))
