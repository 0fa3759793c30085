"""The console script's door: says which install is missing, and turns every known error into one sentence."""

import os
import sys
from importlib.util import find_spec


def main() -> None:
    """`boltzformer …`"""
    if sys.stdout is None:  # closed by whoever started us: it takes its place, and can't be written either
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    missing = [name for name in ("torch", "SimpleITK", "safetensors", "typer", "rich") if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"boltzformer: the engine is not installed (missing: {', '.join(missing)}). "
            "Install it with: pip install 'napari-boltzformer[engine]'\n"
        )
        sys.exit(2)
    try:
        from boltzformer.cli.cli import run

        sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:  # while the libraries load
        sys.exit(130)


def finetune() -> None:
    """`boltzformer-finetune …`, which is `boltzformer finetune …`."""
    sys.argv[1:1] = ["finetune"]
    main()


if __name__ == "__main__":
    main()
