"""`boltzformer mcp`, asked by the SDK's own client over standard input and output; and what it must never do."""

import base64
import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantom_model import PHANTOM_MODEL

from boltzformer import io
from boltzformer.cli.allowed import Allowed, checked_name
from boltzformer.errors import BoltzFormerError
from boltzformer.io.phantom import BRIGHT, DARK

anyio = pytest.importorskip("anyio")
mcp = pytest.importorskip("mcp", reason="the extra mcp is not installed")

Session = Any


def asked(folder: Path, output: Path, story: Callable[[Session], Awaitable[None]]) -> None:
    """A server of its own, started as a client starts it, and a client that tells a story with it."""
    arguments = ["-m", "boltzformer", "mcp", str(folder), "-o", str(output), "--model", str(PHANTOM_MODEL)]
    kept = {name: os.environ[name] for name in ("PYTHONPATH", "BOLTZFORMER_HOME") if name in os.environ}
    server = mcp.StdioServerParameters(command=sys.executable, args=[*arguments, "--device", "cpu"], env=kept)

    async def run() -> None:
        async with mcp.Client(server) as client:
            await story(client)

    anyio.run(run)


def facts_in(result: Any) -> dict[str, Any]:
    assert not result.is_error, result.content
    return json.loads(result.content[0].text)


@pytest.fixture
def images(small_file: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    shutil.copy(small_file, folder / "small.nii.gz")
    return folder


def test_a_client_finds_segments_measures_looks_and_learns_how_it_was_made(images: Path, tmp_path: Path) -> None:
    steps: list[tuple[float, float | None]] = []

    async def heard(done: float, total: float | None, word: str | None) -> None:
        steps.append((done, total))

    async def story(client: Session) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"info", "prompts", "segment", "lesions", "look", "provenance"}
        assert tools["info"].annotations.read_only_hint
        assert not tools["segment"].annotations.read_only_hint

        machine = facts_in(await client.call_tool("info", {}))
        assert machine["notice"] == "Research only, not for clinical use."
        assert machine["folders to read"] == [str(images.resolve())]
        assert facts_in(await client.call_tool("info", {"image": "small.nii.gz"}))["slices"] == 16
        phrasings = facts_in(await client.call_tool("prompts", {"words": "nodule", "modality": "CT"}))["prompts"]
        assert any("lung nodule" in one["prompt"] for one in phrasings)

        made = facts_in(
            await client.call_tool(
                "segment", {"image": "small.nii.gz", "prompts": [BRIGHT, DARK], "seed": 3}, progress_callback=heard
            )
        )
        assert made["name"] == "small"
        assert made["voxels"][BRIGHT] > 0
        table = facts_in(await client.call_tool("lesions", {"name": "small"}))
        assert table["objects"] == len(table["lesions"]) > 0
        assert {row["name"] for row in table["lesions"]} <= {BRIGHT, DARK}

        seen = await client.call_tool("look", {"image": "small.nii.gz", "prompt": BRIGHT, "slice": 8, "seed": 3})
        assert facts_in(seen)["looks"] == 9
        assert base64.b64decode(seen.content[1].data).startswith(b"\x89PNG")

        told = facts_in(await client.call_tool("provenance", {"name": "small"}))
        assert told["unchanged"]
        assert told["provenance"]["seed"] == 3
        (tmp_path / "out/small/bright-blob.nii.gz").write_bytes(b"somebody else's")
        told = facts_in(await client.call_tool("provenance", {"name": "small"}))
        assert told["changed or missing"] == ["bright-blob.nii.gz"]

        refused = await client.call_tool("info", {"image": str(PHANTOM_MODEL)})
        assert refused.is_error
        assert "below the folders to read" in refused.content[0].text
        refused = await client.call_tool("segment", {"image": "small.nii.gz", "prompts": ["x"], "name": "../up"})
        assert "can't name a case" in refused.content[0].text

    asked(images, tmp_path / "out", story)
    assert [done for done, _ in steps] == list(range(17))
    assert {total for _, total in steps} == {16}
    assert io.read(tmp_path / "out/small/dark-blob.nii.gz").array.shape == (16, 72, 80)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "out"]


@pytest.mark.slow
def test_a_task_that_nobody_waits_for_ends_and_the_next_one_is_answered(made_file: Path, tmp_path: Path) -> None:
    async def story(client: Session) -> None:
        async def heard(done: float, total: float | None, word: str | None) -> None:
            if done == 2:
                scope.cancel()

        with anyio.CancelScope() as scope:
            long = {"image": made_file.name, "prompts": [BRIGHT], "samples": 16}
            await client.call_tool("segment", long, progress_callback=heard)
        assert scope.cancelled_caught
        short = {"image": made_file.name, "prompts": [BRIGHT], "slices": "30:32"}
        assert facts_in(await client.call_tool("segment", short))["finished before"] is False
        slices = json.loads((tmp_path / "out/phantom/phantom.provenance.json").read_text("utf-8"))["request"]["slices"]
        assert slices == "30:32"

    asked(made_file.parent, tmp_path / "out", story)


def linked(place: Path, target: Path) -> Path:
    try:
        place.symlink_to(target, target_is_directory=target.is_dir())
    except OSError as error:
        pytest.skip(f"no links here: {error}")
    return place


def test_nothing_elsewhere_is_read_whatever_way_leads_there(images: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    secret = Path(shutil.copy(images / "small.nii.gz", tmp_path / "secret/secret.nii.gz"))
    allowed = Allowed.of([images], tmp_path / "out")
    assert allowed.image("small.nii.gz") == allowed.image(str(images / "small.nii.gz"))
    ways = [str(secret), "../secret/secret.nii.gz", "small.nii.gz/../../secret/secret.nii.gz", "", "a\0b", "nowhere"]
    for way in ways:
        with pytest.raises(BoltzFormerError):
            allowed.image(way)
    there, nowhere = (str(tmp_path / "secret" / name) for name in ("secret.nii.gz", "other.nii.gz"))
    sentences = []
    for name in (there, nowhere):  # nobody learns what lies elsewhere
        with pytest.raises(BoltzFormerError) as refused:
            allowed.image(name)
        sentences.append(str(refused.value).replace(name, ""))
    assert sentences[0] == sentences[1]


def test_no_link_leads_out_neither_of_the_image_nor_of_what_lies_beside_it(images: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    secret = tmp_path / "secret/voxels.raw"
    np.zeros(8, np.uint8).tofile(secret)
    allowed = Allowed.of([images], tmp_path / "out")
    link = linked(images / "link.nii.gz", secret)
    with pytest.raises(BoltzFormerError, match="below the folders"):
        allowed.image("link.nii.gz")
    with pytest.raises(BoltzFormerError, match="link beside it"):  # as a header could name it
        allowed.image("small.nii.gz")
    link.unlink()
    linked(images / "again.nii.gz", images / "small.nii.gz")
    assert allowed.image("again.nii.gz") == (images / "small.nii.gz").resolve()
    linked(images / "folder", tmp_path / "secret")
    with pytest.raises(BoltzFormerError):
        allowed.image("folder/voxels.raw")


def test_a_header_names_no_file_elsewhere(images: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.raw").write_bytes(bytes(8))
    (images / "below").mkdir()
    (images / "below/ours.raw").write_bytes(bytes(8))
    meta = "ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = {}\n"
    nrrd = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: {}\n\n"
    for ending, header in ((".mhd", meta), (".nhdr", nrrd)):
        image = images / f"header{ending}"
        image.write_text(header.format("below/ours.raw"), encoding="utf-8")
        assert io.read(image).array.shape == (2, 2, 2)
        for way in ("../secret.raw", str(tmp_path / "secret.raw"), "below/../../secret.raw"):
            image.write_text(header.format(way), encoding="utf-8")
            with pytest.raises(BoltzFormerError):
                io.read(image)
        linked(images / "below/link.raw", tmp_path / "secret.raw")
        with pytest.raises(BoltzFormerError, match="link beside it"):
            Allowed.of([images], tmp_path / "out").image(image.name)
        (images / "below/link.raw").unlink()


def test_results_are_read_by_name_alone(images: Path, tmp_path: Path) -> None:
    allowed = Allowed.of([images], tmp_path / "out")
    for name in ("..", ".", "/", "a/b", "", "con\n", "x" * 200, "images "):
        with pytest.raises(BoltzFormerError):
            allowed.case(name)
    linked(tmp_path / "out/case", images)
    with pytest.raises(BoltzFormerError):
        allowed.case("case")
    assert checked_name("scan 12.v2") == "scan 12.v2"


def test_a_folder_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(BoltzFormerError, match="is no folder"):
        Allowed.of([tmp_path / "nowhere"], tmp_path / "out")
