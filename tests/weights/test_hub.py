"""Models from the hub: whole and checked, or one sentence that says what to do, and nothing half-written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import COMMIT, Hub, sha256

import boltzformer
from boltzformer.cli.cli import run
from boltzformer.errors import CheckpointError
from boltzformer.weights import hub, registry
from boltzformer.weights.download import Received
from boltzformer.weights.hub import Spot, spot_of

CARD = b"---\nlicense: cc-by-4.0\ntags:\n- medical\n---\n# Small\nOnly for tests.\n"
FILE = "clinic/liver:small.safetensors"


@pytest.fixture
def server(small_model, monkeypatch):
    files = {"clinic/liver/small.safetensors": small_model, "clinic/liver/README.md": CARD}
    with Hub(files) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        yield running


def left_in(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("text", "spot"),
    {
        "biomedparse-v2": Spot("microsoft/BiomedParse", "biomedparse_v2.ckpt"),
        "microsoft/BiomedParse": Spot("microsoft/BiomedParse", "biomedparse_v2.ckpt"),
        "clinic/liver": Spot("clinic/liver", "model.safetensors"),
        "clinic/liver:sub/v2.ckpt": Spot("clinic/liver", "sub/v2.ckpt"),
        "default": None,
        "liver": None,
        "models/liver.safetensors": None,
        "./clinic/liver": None,
        "../liver": None,
        "a/b/c": None,
        "clinic/liver:../../x": None,
        "/data/x": None,
    }.items(),
)
def test_a_place_on_the_hub_is_told_from_a_name_and_a_path(text, spot):
    assert spot_of(text) == spot


def test_a_model_is_loaded_by_its_place_and_the_second_time_without_a_network(server, small_model, own_home):
    first = boltzformer.load(FILE)
    asked = len(server.requests)
    assert asked > 0
    again = boltzformer.load(FILE)
    assert len(server.requests) == asked
    assert first.about.sha256 == again.about.sha256 == sha256(small_model)
    name = "clinic--liver--small"
    assert left_in(own_home) == {f"models/{name}.safetensors", f"models/{name}.md"}
    assert (own_home / f"models/{name}.md").read_bytes() == CARD


def test_nothing_but_the_file_and_its_card_is_asked_for(server):
    """In a fresh process, where the hub's library would begin by telling which programs run here."""
    ended = elsewhere(f"import boltzformer; boltzformer.load({FILE!r})")
    assert ended.returncode == 0, ended.stderr
    resolved = "/clinic/liver/resolve/main"
    assert {path for _, path, _, _ in server.requests} == {
        f"{resolved}/small.safetensors",
        f"{resolved}/README.md",
        "/content/clinic/liver/small.safetensors",
    }


def test_an_existing_path_is_never_looked_for_on_the_hub(server, small_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("clinic").mkdir()
    Path("clinic/liver").write_bytes(small_model)
    assert registry.resolve("clinic/liver") == Path("clinic/liver")
    assert server.requests == []


def test_a_cut_download_goes_on_by_itself_from_where_it_was(server, small_model):
    server.cuts = [100_000, 200_000]
    assert run(["models", "get", FILE, "--name", "liver"]) == 0
    assert server.ranges_asked == ["", "bytes=100000-", "bytes=300000-"]
    assert registry.registered()["liver"].read_bytes() == small_model


def test_an_interrupted_download_goes_on_in_the_next_call(server, small_model, own_home, capsys):
    server.cuts = [100_000, 0, 0, 0, 0]
    assert run(["models", "get", FILE]) == 2
    assert "interrupted at 0.1 of" in (said := capsys.readouterr().err)
    assert "it goes on from there" in said
    kept = left_in(own_home)
    assert {Path(name).suffix for name in kept} == {".part", ".md"}
    server.cuts = []
    assert run(["models", "get", FILE]) == 0
    assert server.ranges_asked[-1] == "bytes=100000-"
    assert registry.registered()["clinic--liver--small"].read_bytes() == small_model
    assert not any("downloads" in name for name in left_in(own_home))


def test_a_server_without_ranges_sends_all_again(server, small_model):
    server.cuts, server.ranges = [100_000], False
    assert run(["models", "get", FILE, "--name", "liver"]) == 0
    assert registry.registered()["liver"].read_bytes() == small_model


def test_a_wrong_checksum_leaves_nothing_behind(server, own_home, capsys):
    server.checksum = "0" * 64
    assert run(["models", "get", FILE]) == 2
    assert "arrived damaged" in capsys.readouterr().err
    assert left_in(own_home) == {"cache/downloads/clinic--liver/README.md"}


def test_a_gated_repository_says_what_to_accept_where_and_how_to_give_the_token(server, own_home, capsys, monkeypatch):
    server.gated = frozenset({"clinic/liver"})
    assert run(["models", "get", FILE]) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in ("is gated", f"{server.address}/clinic/liver", "licence", "hf auth login"))
    assert said.count("\n") == 1
    assert left_in(own_home) == set()
    monkeypatch.setenv("HF_TOKEN", "of-somebody-else")
    assert run(["models", "get", FILE]) == 2
    assert "is gated" in capsys.readouterr().err
    monkeypatch.setenv("HF_TOKEN", server.token)
    assert run(["models", "get", FILE]) == 0


def test_the_token_is_shown_to_the_hub_and_to_nobody_else(server, monkeypatch):
    server.gated = frozenset({"clinic/liver"})
    monkeypatch.setenv("HF_TOKEN", server.token)
    assert run(["models", "get", FILE]) == 0
    shown = {path.split("/")[1]: token for _, path, _, token in server.requests}
    assert shown == {"clinic": f"Bearer {server.token}", "content": ""}


@pytest.mark.parametrize(
    ("what", "words"),
    {
        "clinic/liver:other.ckpt": "has no file other.ckpt",
        "clinic/liver": "has no file model.safetensors",
        "clinic/spleen": "or it is private",
        "nonsense": "names nothing on the hub",
        "biomedparse-v2": "or it is private",
    }.items(),
)
def test_what_is_not_there_is_one_sentence(server, what, words, capsys, own_home):
    assert run(["models", "get", what]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert left_in(own_home) == set()


def test_without_a_network_the_sentence_names_the_way_without_one(monkeypatch, capsys, own_home):
    with Hub({}) as gone:
        address = gone.address
    monkeypatch.setenv("HF_ENDPOINT", address)
    assert run(["models", "get", "biomedparse-v2"]) == 2
    said = capsys.readouterr().err
    assert f"{address} can't be reached" in said
    assert "models import FILE" in said
    assert said.count("\n") == 1
    assert left_in(own_home) == set()


@pytest.mark.parametrize("switch", hub.SWITCHES)
def test_the_offline_switch_asks_nobody(server, switch, monkeypatch, capsys):
    monkeypatch.setenv(switch, "1")
    assert run(["models", "get", FILE]) == 2
    assert f"{switch} forbids downloads" in capsys.readouterr().err
    with pytest.raises(CheckpointError, match=switch):
        boltzformer.load(FILE)
    assert server.requests == []


def test_a_known_name_that_is_not_here_says_how_to_get_it(server):
    with pytest.raises(CheckpointError, match="boltzformer models get biomedparse-v2"):
        boltzformer.load("biomedparse-v2")
    assert server.requests == []


def test_the_command_line_shows_terms_and_registers(server, capsys):
    assert run(["models", "get", FILE, "--name", "liver"]) == 0
    said = capsys.readouterr()
    assert "licence: cc-by-4.0" in said.err
    assert f"{server.address}/clinic/liver" in said.err
    assert "registered 'liver'" in said.out
    assert run(["models", "get", FILE, "--name", "liver"]) == 2
    assert "registered already" in capsys.readouterr().err


def test_a_download_is_told_as_it_goes(server, small_model):
    events = list(registry.get(FILE))
    assert [type(event).__name__ for event in (events[0], *events[-2:])] == ["Offered", "Fetched", "Registered"]
    received = [event for event in events if isinstance(event, Received)]
    assert len(events) == len(received) + 3
    assert [event.done for event in received] == sorted({event.done for event in received})
    assert {event.total for event in received} == {received[-1].done} == {len(small_model)}


def test_segment_fetches_a_model_that_it_is_given_by_place(server, small_file, tmp_path):
    assert run(["segment", str(small_file), "-p", "liver", "-o", str(tmp_path / "out"), "--model", FILE]) == 0
    assert "clinic--liver--small" in registry.registered()


def elsewhere(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a fresh process: the hub's library reads some settings only when it is loaded."""
    told = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], env=told, capture_output=True, text=True, check=False)


def test_a_proxy_is_used(server, small_model, own_home):
    """The hub's host exists only for the proxy, which here is the server itself."""
    code = f"import boltzformer; print(boltzformer.load({FILE!r}).about.sha256)"
    ended = elsewhere(code, HF_ENDPOINT="http://hub.invalid", HTTP_PROXY=server.address)
    assert ended.stdout.strip() == sha256(small_model), ended.stderr


def test_what_other_programs_have_downloaded_is_used_and_left_alone(small_model, tmp_path):
    repo = tmp_path / "cache" / "models--clinic--liver"
    blob, pointer = repo / "blobs" / sha256(small_model), repo / "snapshots" / COMMIT / "small.safetensors"
    for path in (blob, pointer, repo / "refs" / "main"):
        path.parent.mkdir(parents=True)
    (repo / "refs" / "main").write_text(COMMIT)
    blob.write_bytes(small_model)
    pointer.symlink_to(blob)
    code = f"import boltzformer; print(boltzformer.load({FILE!r}).about.sha256)"
    ended = elsewhere(code, HF_HUB_CACHE=str(tmp_path / "cache"), BOLTZFORMER_OFFLINE="1")
    assert ended.stdout.strip() == sha256(small_model), ended.stderr
    assert blob.is_file()
