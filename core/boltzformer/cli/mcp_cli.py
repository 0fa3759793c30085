"""`boltzformer mcp`: this program as tools for another one, over standard input and output."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from boltzformer.cli import manage
from boltzformer.cli.allowed import Allowed
from boltzformer.engine.devices import choose
from boltzformer.errors import BoltzFormerError
from boltzformer.weights import checkpoint


def mcp_command(
    folders: Annotated[list[Path], typer.Argument(help="Folders with images: nothing else is read.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for results: nothing else is written to.")],
    model: Annotated[
        str, typer.Option(help="'default', a name from `boltzformer models list`, or a file.")
    ] = "default",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:NUMBER or mps.")] = "auto",
) -> None:
    """Offer segmentation to a program that speaks MCP: info, prompts, segment, lesions, look, provenance.

    Links are resolved: what lies elsewhere is neither read nor written. Nothing that is asked runs code.
    """
    if find_spec("mcp") is None:
        raise BoltzFormerError("The MCP SDK is not installed: pip install 'napari-boltzformer[mcp]'.")
    from boltzformer.cli.mcp_server import server_of  # the SDK, for this command alone
    from boltzformer.cli.mcp_tools import Tools

    about = checkpoint.read(manage.found(model))
    tools = Tools(Allowed.of(folders, output), about, choose(device, config=about.config))
    server_of(tools).run("stdio")
