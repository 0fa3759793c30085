"""Images arrive slice by slice: work starts before all are there, and nothing wrong gets in."""

import itertools
import socket
import tracemalloc
import zlib
from dataclasses import asdict, replace

import httpx
import numpy as np
import pytest
from serving import Served, serving

import boltzformer
from boltzformer import Failed, Grid, Prediction, SliceResult, Volume
from boltzformer.image.hashing import hash_of_voxels
from boltzformer.io.phantom import BRIGHT, DARK, Phantom
from boltzformer.protocol import NewVolume, decode, frames


def announce(http: httpx.Client, volume: Volume, axis: int = 0) -> str:
    new = NewVolume(volume.array.dtype.str, volume.grid, axis)
    name: str = http.post("/volumes", json=asdict(new)).json()["id"]
    return name


def test_the_first_slice_is_done_when_its_neighbours_are_there(
    served: Served, engine: boltzformer.Engine, small: Phantom
) -> None:
    name = served.upload(small.volume, slice(9, 12))
    job = served.ask(name, small.volume, [BRIGHT, DARK], start=10).json()["id"]
    with served.http.stream("GET", f"/jobs/{job}/events") as response:
        events = map(decode, frames(response.iter_raw()))
        started, first = itertools.islice(events, 2)
        assert started.total == 16
        assert first.index == 10
        assert served.http.get(f"/volumes/{name}").json()["missing"] == [[0, 9], [12, 16]]
        rest = small.volume.array.tobytes()
        assert served.http.put(f"/volumes/{name}/slices/0", content=rest).json()["missing"] == []
        *slices, end = events
    *_, near = engine.segment(small.volume, [BRIGHT, DARK])
    assert [one.index for one in slices[:3]] == [9, 11, 8]
    assert end.provenance["image"]["sha256"] == near.provenance["image"]["sha256"]
    assert end.provenance["logits sha256"] == near.provenance["logits sha256"]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("how", ["as it is", "big endian", "a flipped view", "colour"])
def test_every_kind_of_array_arrives_as_it_is(
    served: Served, engine: boltzformer.Engine, small: Phantom, axis: int, how: str
) -> None:
    array = small.volume.array[:, 20:33, 20:34]
    array = {
        "as it is": array,
        "big endian": array.astype(">f4"),
        "a flipped view": array[::-1, :, ::-1],
        "colour": np.stack([array, array // 2, array // 3], -1).clip(0, 255).astype(np.uint8),
    }[how]
    volume = Volume(array, Grid.pixels(array.shape[:3]))
    with served.session() as session:
        far = session.segment(volume, BRIGHT, axis=axis, slices=[3, 9]).result()
    near = boltzformer.segment(volume, BRIGHT, model=engine, axis=axis, slices=[3, 9])
    assert far.provenance == near.provenance


def test_half_an_upload_changes_nothing_and_is_resumed(served: Served, small: Phantom) -> None:
    volume = small.volume
    name, plane = announce(served.http, volume), volume.array[0].nbytes
    host, port = served.address.removeprefix("http://").split(":")
    for half in (plane, plane + plane // 2):  # the line breaks in the middle of the body
        with socket.create_connection((host, int(port))) as line:
            head = f"PUT /v1/volumes/{name}/slices/0 HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {served.token}"
            line.sendall(f"{head}\r\nContent-Length: {2 * plane}\r\n\r\n".encode() + bytes(half))
    wrong = served.http.put(f"/volumes/{name}/slices/0", content=bytes(plane + 1))
    assert wrong.status_code == 400
    assert f"one slice has {plane} bytes" in wrong.json()["detail"]
    assert served.http.put(f"/volumes/{name}/slices/15", content=bytes(2 * plane)).status_code == 400
    assert served.http.get(f"/volumes/{name}").json()["missing"] == [[0, 16]]
    for first, missing in ((4, [[0, 4], [8, 16]]), (0, [[8, 16]])):
        body = volume.array[first : first + 4].tobytes()
        assert served.http.put(f"/volumes/{name}/slices/{first}", content=body).json()["missing"] == missing
    other = np.zeros_like(volume.array[4:])  # slices that came before stay as they were
    other[4:] = volume.array[8:]
    state = served.http.put(f"/volumes/{name}/slices/4", content=other.tobytes()).json()
    assert state["missing"] == []
    assert state["sha256"] == hash_of_voxels(volume.array)


def test_slices_may_come_deflated_along_any_axis(served: Served, small: Phantom) -> None:
    for axis in range(3):
        name = announce(served.http, small.volume, axis)
        body = zlib.compress(small.volume.array.tobytes(), 1)
        sent = served.http.put(f"/volumes/{name}/slices/0", content=body, headers={"Content-Encoding": "deflate"})
        assert sent.json()["sha256"] == hash_of_voxels(small.volume.array)


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(small: Phantom) -> None:
    bomb = zlib.compress(bytes(200 * 2**20), 9)
    with serving(slab_bytes=2**20) as served:
        name = announce(served.http, small.volume)
        tracemalloc.start()
        sent = served.http.put(f"/volumes/{name}/slices/0", content=bomb, headers={"Content-Encoding": "deflate"})
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert sent.status_code == 413
        assert peak < 10 * 2**20
        for broken, sentence in ((b"no zlib", "can't be unpacked"), (bomb[:900], "end in the middle")):
            sent = served.http.put(f"/volumes/{name}/slices/0", content=broken, headers={"Content-Encoding": "deflate"})
            assert sent.status_code == 400
            assert sentence in sent.json()["detail"]
        assert served.http.get("/health").status_code == 200


def test_a_body_larger_than_allowed_is_refused_with_and_without_its_length(small: Phantom) -> None:
    with serving(slab_bytes=100_000, body_bytes=5_000) as served:
        name = announce(served.http, small.volume)
        for path, most in ((f"/volumes/{name}/slices/0", 100_000), ("/volumes", 5_000)):
            method = "PUT" if "slices" in path else "POST"
            told = served.http.request(method, path, content=bytes(most + 1))
            untold = served.http.request(method, path, content=iter([bytes(most), b"1"]))
            assert (told.status_code, untold.status_code) == (413, 413)
            assert f"{most} bytes allowed" in told.json()["detail"]
            assert f"{most} bytes allowed" in untold.json()["detail"]


def test_images_beyond_the_memory_are_refused_and_idle_ones_make_room(small: Phantom) -> None:
    size = small.volume.array.nbytes
    with serving(volumes_bytes=2 * size) as served:
        huge = NewVolume("<f8", Grid.pixels((100_000, 100_000, 100_000)), 0)
        assert served.http.post("/volumes", json=asdict(huge)).status_code == 413
        first = served.upload(small.volume)
        served.upload(small.volume)
        third = served.upload(small.volume)
        assert served.http.get(f"/volumes/{first}").status_code == 404
        assert served.http.get(f"/volumes/{third}").status_code == 200
        new = NewVolume(small.volume.array.dtype.str, small.volume.grid, 0)
        busy = [announce(served.http, small.volume) for _ in range(2)]  # never sent, so their jobs wait
        for name in busy:
            assert served.ask(name, small.volume, BRIGHT).status_code == 201
        full = served.http.post("/volumes", json=asdict(new))
        assert full.status_code == 507
        assert "wait until one has ended" in full.json()["detail"]
        assert served.http.delete(f"/volumes/{busy[0]}").status_code == 204
        assert served.http.delete(f"/volumes/{busy[0]}").status_code == 404
        assert served.http.post("/volumes", json=asdict(new)).status_code == 201


def test_what_nobody_uses_is_erased(small: Phantom) -> None:
    with serving(keep_seconds=0.2, sweep_seconds=0.02) as served:
        served.upload(small.volume)
        while served.http.get("/health").json()["volumes"]:
            pass
        assert served.http.get("/health").json()["volume_bytes"] == 0


def test_a_job_whose_image_stops_arriving_says_so(small: Phantom) -> None:
    with serving(stall_seconds=0.2) as served:
        name = served.upload(small.volume, slice(0, 3))
        job = served.ask(name, small.volume, BRIGHT, start=1).json()["id"]
        *events, end = served.events(job)
        assert [event.index for event in events if isinstance(event, SliceResult)] == [1, 0]
        assert isinstance(end, Failed)
        assert "stopped arriving" in end.error


def test_an_image_is_sent_once_and_again_when_the_backend_let_go_of_it(served: Served, small: Phantom) -> None:
    with served.session() as session:
        before = served.http.get("/health").json()["volumes"]
        twice = [session.segment(replace(small.volume), BRIGHT, slices=[5]).result() for _ in range(2)]
        assert twice[0].provenance == twice[1].provenance
        assert served.http.get("/health").json()["volumes"] == before + 1
        for name in list(served.backend.volumes._kept):
            served.http.delete(f"/volumes/{name}")
        assert isinstance(session.segment(small.volume, BRIGHT, slices=[5]).result(), Prediction)
        for name in list(served.backend.volumes._kept):
            served.http.delete(f"/volumes/{name}")
        assert len(session.trace(small.volume, BRIGHT, 5).layers) == 9
        changed = replace(small.volume, array=small.volume.array + 1)
        other = session.segment(changed, BRIGHT, slices=[5]).result()
        assert other.provenance["image"]["sha256"] == hash_of_voxels(changed.array)


def test_what_is_announced_takes_no_memory_and_drives_nothing_out(small: Phantom) -> None:
    size = small.volume.array.nbytes
    with serving(volumes_bytes=3 * size, volumes=10, volume_slices=1000) as served:
        sent = served.upload(small.volume)
        large = Volume(np.broadcast_to(np.int16(0), (16, 72, 240)), Grid.pixels((16, 72, 240)))  # all there is
        names = [announce(served.http, large) for _ in range(30)]
        assert served.http.get("/health").json()["volume_bytes"] == size
        assert served.http.get(f"/volumes/{sent}").json()["missing"] == []
        assert served.http.get("/health").json()["volumes"] == 10
        assert served.http.get(f"/volumes/{names[0]}").status_code == 404
        assert served.http.get(f"/volumes/{names[-1]}").status_code == 200
        many = NewVolume("|u1", Grid.pixels((1001, 1, 1)), 0)
        assert served.http.post("/volumes", json=asdict(many)).status_code == 413
        body = bytes(large.array[0].nbytes)
        assert served.http.put(f"/volumes/{names[-1]}/slices/0", content=body).status_code == 200
        assert served.http.get(f"/volumes/{sent}").status_code == 404  # now there is need


def test_a_long_axis_is_refused_before_its_slices_are_counted(served: Served) -> None:
    for axis in range(3):
        shape = [1, 1, 1]
        shape[axis] = 2**30
        tracemalloc.start()
        answer = served.http.post("/volumes", json=asdict(NewVolume("|u1", Grid.pixels(tuple(shape)), axis)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert answer.status_code == 413
        assert peak < 10 * 2**20
