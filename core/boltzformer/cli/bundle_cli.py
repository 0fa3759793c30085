"""`boltzformer bundle`: a folder to carry to a machine without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boltzformer.cli.bundle import INSTALLER, Packed, bundle
from boltzformer.speaking import say


def bundle_command(
    output: Annotated[Path, typer.Argument(help="The folder to make.")],
    model: Annotated[
        list[str] | None, typer.Option(help="Take this model along, by its name; 'default' is in it. Several times.")
    ] = None,
    extra: Annotated[
        list[str] | None, typer.Option(help="What to install: engine, napari, train, mcp or all. Several times.")
    ] = None,
    wheel: Annotated[
        Path | None, typer.Option(help="Our own wheel, where neither the registry nor a checkout has this version.")
    ] = None,
) -> None:
    """Wheels, models, checksums and an installer in one folder, for machines like this one but without a network."""
    for event in bundle(output, extras=tuple(extra or ("engine",)), models=tuple(model or ()), wheel=wheel):
        if isinstance(event, Packed):
            models = ", ".join(("default", *event.models))
            say(f"{event.folder}: {event.wheels} wheels, models {models}, {event.size / 1e6:.0f} MB")
            say(f"sha256 of its SHA256SUMS: {event.sums_sha256}")
            say(f"There: python3 {INSTALLER} ENVIRONMENT")
        else:
            say(event, err=True)
