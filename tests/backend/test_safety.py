"""Who may ask, what is opened for them, and what is written down: nothing about a patient."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import httpx
import pytest
from processes import ended
from serving import MODEL, Served

import boltzformer
from boltzformer import BackendError, Session
from boltzformer.io.phantom import BRIGHT, Phantom
from boltzformer.server import process
from boltzformer.server.guard import Limits
from boltzformer.server.models import Models

ROUTES = [
    ("GET", "/health"),
    ("GET", "/openapi.json"),
    ("POST", "/volumes"),
    ("PUT", "/volumes/x/slices/0"),
    ("POST", "/jobs/segment"),
    ("GET", "/jobs/x/events"),
    ("GET", "/models"),
    ("GET", "/nothing"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_route_answers_strangers(served: Served, method: str, path: str) -> None:
    address = f"{served.address}/v1{path}"
    for headers in ({}, {"Authorization": "Bearer guess"}, {"Authorization": served.token}, {"Authorization": "ü"}):
        raw = [(name, value.encode()) for name, value in headers.items()]
        assert httpx.request(method, address, headers=raw, trust_env=False).status_code == 401
    for foreign in ({"Host": "evil.example"}, {"Host": ""}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert served.http.request(method, path, headers=foreign).status_code == 403


def test_the_token_is_neither_on_the_command_line_nor_in_the_environment(session: Session) -> None:
    backend = session.backend()
    token = backend.http.headers["Authorization"].removeprefix("Bearer ")
    for name in ("cmdline", "environ"):
        assert token.encode() not in Path(f"/proc/{backend.process.pid}/{name}").read_bytes()
    niceness = os.getpriority(os.PRIO_PROCESS, backend.process.pid)
    assert niceness == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 5)


def test_nothing_about_a_patient_is_written_down(small: Phantom, tmp_path: Path) -> None:
    """Not even what the user typed, nor the name of the file, whatever goes wrong."""
    log = tmp_path / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "boltzformer.server", MODEL],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=tmp_path,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("token\n")
        process.stdin.flush()
        port = json.loads(process.stdout.readline())["port"]
        with Session.connect(f"http://127.0.0.1:{port}", "token", MODEL) as session:
            volume = replace(small.volume, name="DOE^JOHN", source="/home/doe/john.nii")
            done = session.segment(volume, f"{BRIGHT} of John Doe", slices=[3]).result()
            assert done.provenance["image"]["name"] == "DOE^JOHN"
            for how in ({"slices": [99]}, {"model": "/home/doe/john.safetensors"}):
                with pytest.raises(BackendError):
                    session.segment(volume, "John Doe", **how).result()
            http = session.backend().http
            assert http.post("/jobs/segment", json={"prompts": "John Doe"}).status_code == 422
            assert "John" not in http.post("/jobs/segment", json={"prompts": "John Doe"}).text
            assert http.get("/volumes/John-Doe").status_code == 404
        process.stdin.close()
        assert process.wait(10) == 0
        process.stdout.close()
    assert log.read_text("utf-8") == ""
    assert [file.name for file in tmp_path.iterdir()] == ["log"]


def test_only_a_local_owner_may_name_files(tmp_path: Path) -> None:
    for name in (MODEL, "../../etc/passwd", str(tmp_path)):
        with pytest.raises(boltzformer.CheckpointError, match="import it on the backend's computer"):
            Models(Limits(), own_files=False).engine(name)
    with pytest.raises(boltzformer.CheckpointError, match="opens no files"):
        Models(Limits(), own_files=False).add(MODEL, "mine")


def test_weights_come_as_safetensors_alone(served: Served, small: Phantom, tmp_path: Path) -> None:
    import torch

    torch.save({"a": torch.zeros(1)}, tmp_path / "model.pt")
    (tmp_path / "model.safetensors").write_bytes((tmp_path / "model.pt").read_bytes())
    for name in ("model.pt", "model.safetensors", "none.safetensors", "bad\0name"):
        answer = served.http.post("/models", json={"path": str(tmp_path / name)})
        assert answer.status_code == 400, name
        volume = served.upload(small.volume)
        request = {"volume": volume, "prompts": [{"text": BRIGHT}], "window": asdict(small.volume.window())}
        job = served.http.post("/jobs/segment", json={**request, "model": str(tmp_path / name)}).json()["id"]
        assert isinstance(served.events(job)[-1], boltzformer.Failed)


def test_serve_hands_its_token_over_in_a_file_for_its_user_alone(small: Phantom, tmp_path: Path) -> None:
    file = tmp_path / "token.json"
    file.write_text("left over, and readable for all")
    file.chmod(0o666)
    command = [sys.executable, "-m", "boltzformer", "serve", "--token-file", str(file), "--model", MODEL]
    pipe = subprocess.PIPE
    with ended(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)) as server:
        assert server.stdout is not None
        said = server.stdout.readline()
        assert json.loads(file.read_text("utf-8"))["address"] in said
        assert json.loads(file.read_text("utf-8"))["token"] not in said
        assert str(file) in said
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        with Session.connect(**json.loads(file.read_text("utf-8")), model=MODEL) as session:
            assert session.segment(small.volume, BRIGHT, slices=[1]).result().slices
            with pytest.raises(BackendError, match="did not start its engine"):
                session.backend().process  # noqa: B018
        server.send_signal(signal.SIGTERM)
        assert server.stderr is not None
        assert server.stderr.read() == ""
    assert not file.exists()


@contextmanager
def serve(file: Path) -> Iterator[subprocess.Popen[str]]:
    """`boltzformer serve`, once its file is there."""
    command = [sys.executable, "-m", "boltzformer", "serve", "--token-file", str(file), "--model", MODEL]
    with ended(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("Serving")
        yield server


def test_the_token_file_goes_with_its_process_and_is_never_anothers(tmp_path: Path) -> None:
    file = tmp_path / "token.json"
    with serve(file) as first:
        mine = file.read_text("utf-8")
        with pytest.raises(BackendError, match="belongs to a server that runs already"):
            process.serve(MODEL, "127.0.0.1", 0, file)
        assert file.read_text("utf-8") == mine
        first.send_signal(signal.SIGHUP)  # its terminal was closed
        assert first.wait(30) == 0
    assert not file.exists()
    file.write_text(mine)  # left over
    with serve(file) as second:
        assert file.read_text("utf-8") != mine
        file.write_text(mine)  # by now it is that of another one, which has started without asking
        second.send_signal(signal.SIGINT)
        assert second.wait(30) == 0
    assert file.read_text("utf-8") == mine


def test_other_addresses_are_refused(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "192.168.1.5", "::"):
        with pytest.raises(BackendError, match="this computer alone"):
            process.serve(MODEL, host, 0, tmp_path / "token.json")
    with pytest.raises(BackendError, match="token-file"):
        process.serve(MODEL, "127.0.0.1", 0, tmp_path / "nowhere" / "token.json")
