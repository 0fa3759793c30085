"""The tools of `mcp_tools`, spoken as MCP over standard input and output. Only this file knows the SDK."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import anyio
from anyio import from_thread, to_thread
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from boltzformer.cli.mcp_tools import NOTICE, Tell, Tools, as_text
from boltzformer.cli.request import Request
from boltzformer.speaking import sentence_about
from boltzformer.version import VERSION

INSTRUCTIONS = f"""Text-prompted segmentation of medical images. {NOTICE}
Ask `info` first: it says which folders can be read and what the model was taught. Name images by their path. `prompts`
finds phrasings that work; free text is allowed. `segment` writes masks, a table of objects and the provenance into a
folder of results; `lesions` and `provenance` read them again by the result's name. `look` shows where the model looked
in one slice. Masks of a prompt that the model never learnt are guesses: the notes of `segment` say so."""

LOOKS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
WRITES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)

T = TypeVar("T")
ImagePath = Annotated[str, Field(description="An image file or DICOM folder below the folders to read.")]
Series = Annotated[str | None, Field(description="Which DICOM series: its number in the list of `info`, or its UID.")]
ResultName = Annotated[str, Field(description="The name that `segment` gave its result.")]


class Stopped(Exception):
    """Whoever asked has gone."""


def server_of(tools: Tools) -> MCPServer[Any]:
    """The server, with every tool on it."""
    server: MCPServer[Any] = MCPServer(
        "boltzformer", instructions=INSTRUCTIONS, version=VERSION, log_level="WARNING", subscriptions=False
    )

    @server.tool(annotations=LOOKS, structured_output=False)
    async def info(context: Context, image: ImagePath | None = None, series: Series = None) -> str:
        """Where an image lies and how it will be sliced; without one: version, model with its limits, folders."""
        return as_text(await _worked(context, lambda tell: tools.info(image, series)))

    @server.tool(annotations=LOOKS, structured_output=False)
    async def prompts(
        context: Context,
        words: Annotated[str, Field(description="What to look for, such as 'liver'; all when empty.")] = "",
        modality: Annotated[str, Field(description="Only for CT, MR, US, X-ray, …")] = "",
    ) -> str:
        """Phrasings that segmentation data use, the best ones first."""
        return as_text(await _worked(context, lambda tell: tools.prompts(words, modality)))

    @server.tool(annotations=WRITES, structured_output=False)
    async def segment(
        context: Context,
        image: ImagePath,
        prompts: Annotated[list[str], Field(description="What to look for, one object kind each.", min_length=1)],
        name: Annotated[str, Field(description="Of the result; else that of the image.")] = "",
        seed: Annotated[int, Field(description="The same seed gives the same mask.")] = 0,
        slices: Annotated[str | None, Field(description="A:B, 0-based, without B; or one slice.")] = None,
        axis: Annotated[str | None, Field(description="axial, coronal or sagittal; else as the grid says.")] = None,
        window: Annotated[str, Field(description="auto, soft tissue, lung, brain, bone, or WIDTH/LEVEL.")] = "auto",
        threshold: Annotated[float, Field(description="Probability from which a voxel belongs to the mask.")] = 0.5,
        existence: Annotated[float | None, Field(description="Slices below this stay empty.")] = None,
        samples: Annotated[int, Field(description="So many seeds: their mean, and where they disagree.")] = 1,
        here: Annotated[list[str] | None, Field(description="The object is at voxel I,J,K.")] = None,
        not_here: Annotated[list[str] | None, Field(description="It is not at voxel I,J,K.")] = None,
        box: Annotated[str | None, Field(description="It is in this box, I,J,K:I,J,K.")] = None,
        region: Annotated[str | None, Field(description="Look only at this box, enlarged; or 'found'.")] = None,
        series: Series = None,
        format: Annotated[str | None, Field(description="nii.gz, seg.nrrd, dcm-seg, …; else as the image.")] = None,
        overwrite: Annotated[bool, Field(description="Replace a result that was made differently.")] = False,
    ) -> str:
        """Find what the prompts name, slice by slice; write masks, a table of objects and how they were made."""

        def work(tell: Tell) -> dict[str, Any]:
            request = Request(
                tuple(prompts),
                seed=seed,
                slices=slices,
                axis=axis,
                window=window,
                threshold=threshold,
                existence=existence,
                samples=samples,
                here=tuple(here or ()),
                not_here=tuple(not_here or ()),
                box=box,
                region=region,
                series=series,
                format=format,
                lesions=True,
            )
            return tools.segment(image, request, name, tell, overwrite=overwrite)

        return as_text(await _worked(context, work))

    @server.tool(annotations=LOOKS, structured_output=False)
    async def lesions(context: Context, name: ResultName) -> str:
        """Every object of a result: volume, longest diameter, place, how sure the model is."""
        return as_text(await _worked(context, lambda tell: tools.lesions(name)))

    @server.tool(annotations=WRITES, structured_output=False)
    async def look(
        context: Context,
        image: ImagePath,
        prompt: Annotated[str, Field(description="What to look for.")],
        slice: Annotated[int, Field(description="0-based, along the slice axis that `info` names.", ge=0)],
        seed: int = 0,
        window: str = "auto",
        series: Series = None,
    ) -> list[str | Image]:
        """A picture of where the model looked in one slice, look by look, with its guess (cyan) and mask (white)."""
        how: dict[str, Any] = {"seed": seed, "window": window, "series": series}
        file, facts = await _worked(context, lambda tell: tools.look(image, prompt, slice, tell, **how))
        return [as_text(facts), Image(data=file.read_bytes(), format="png")]

    @server.tool(annotations=LOOKS, structured_output=False)
    async def provenance(context: Context, name: ResultName) -> str:
        """How a result was made, as written beside it, and whether its files are still the same."""
        return as_text(await _worked(context, lambda tell: tools.provenance(name)))

    return server


async def _worked(context: Context, work: Callable[[Tell], T]) -> T:
    """In a thread, so that progress and cancelling get through; what goes wrong is a sentence for whoever asked."""
    stopped = threading.Event()

    def tell(done: int, total: int, word: str) -> None:
        if stopped.is_set():
            raise Stopped
        from_thread.run(context.report_progress, done, total, word)

    def answered() -> T:
        try:
            return work(tell)
        except Stopped:
            raise
        except Exception as error:
            raise ToolError(sentence_about(error)) from error

    try:
        return await to_thread.run_sync(answered, abandon_on_cancel=True)
    except anyio.get_cancelled_exc_class():
        stopped.set()  # the thread ends at its next slice
        raise
