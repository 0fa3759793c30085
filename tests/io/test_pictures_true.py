"""PNG and JPEG as they are meant to be seen: turned by EXIF, all 16 bits, and which of several pictures it is."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from image_files import phantom
from PIL import Image, ImageOps

from boltzformer import io
from boltzformer.errors import ImageError
from boltzformer.types import LabelMap

GRAY = phantom((6, 7), np.uint8)


@pytest.mark.parametrize("turn", range(2, 9))
@pytest.mark.parametrize("extension", [".png", ".jpg"])
def test_exif_turns_the_picture_and_its_masks_lie_on_what_is_seen(tmp_path: Path, extension: str, turn: int) -> None:
    path, exif = tmp_path / f"a{extension}", Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(GRAY).save(path, exif=exif)
    with pytest.warns(io.ImageWarning, match=rf"is stored turned .EXIF {turn}.: it is shown upright, and its masks"):
        volume = io.read(path)
    with Image.open(path) as image:
        seen = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(volume.array[0], seen)
    mask = (volume.array > 100).astype(np.uint8)
    (written,) = io.write(LabelMap(mask[None], volume.grid, {1: "bright"}), tmp_path / "mask.png", source=volume)
    np.testing.assert_array_equal(io.read_labels(written, grid=volume.grid).layers[0], mask)


@pytest.mark.parametrize("kind", ["APNG", "MPO"])
def test_of_several_pictures_the_first_is_shown_and_that_is_said(tmp_path: Path, kind: str) -> None:
    pages = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in range(0, 240, 20)]
    path = tmp_path / ("a.png" if kind == "APNG" else "a.jpg")
    pages[0].save(path, "PNG" if kind == "APNG" else "MPO", save_all=True, append_images=pages[1:])
    with pytest.warns(io.ImageWarning, match="holds 12 pictures: this is the first of 12"):
        assert io.read(path).array.max() == 0
    assert abs(int(io.read(path, frame=3).array[0, 0, 0]) - 40) <= 2
    with pytest.raises(ImageError, match="has no frame 13: choose one from 1 to 12"):
        io.read(path, frame=13)


def test_gray_with_transparency_keeps_16_bits(tmp_path: Path) -> None:
    gray = phantom((6, 7), np.uint16) * 50
    rows = np.stack([gray, np.full_like(gray, 65535)], -1).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">2I5B", 7, 6, 16, 4, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )
    volume = io.read(tmp_path / "a.png")
    assert volume.array.dtype == np.uint16
    np.testing.assert_array_equal(volume.array[0], gray)
