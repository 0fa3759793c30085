"""Engine, models and windows, as any viewer offers them."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_server import Hub
from phantom_model import PHANTOM_MODEL
from serving import Served, serving

from boltzformer import Grid, Session, Volume, Window
from boltzformer.desk.image import OpenImage
from boltzformer.desk.memory import MemoryStage
from boltzformer.desk.models.choice import FromHub, ModelChoice, meant, shown_name
from boltzformer.desk.models.engine import EngineLine
from boltzformer.desk.models.window import AUTO, Windows
from boltzformer.desk.settings import Settings
from boltzformer.io.phantom import BRIGHT, Phantom
from boltzformer.masks.pictures import Picture
from boltzformer.protocol import HubState, ModelState
from boltzformer.weights import checkpoint, registry

PLACE = "clinic/blobs:blobs.safetensors"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("HF_TOKEN", "")
    for name in ("BOLTZFORMER_OFFLINE", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Hub({"clinic/blobs/blobs.safetensors": PHANTOM_MODEL.read_bytes()}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        yield running


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as one:
        yield one


# --- the engine -------------------------------------------------------------------------------------------------------


def test_the_line_says_where_the_engine_runs_and_hands_over_what_the_model_knows(tools: Any, served: Served) -> None:
    session, lines, models = served.session(), list[str](), list[ModelState]()
    more: list[str] = []
    engine = EngineLine(lambda: session, tools.work, tools.notice, tools.timers)
    engine.said.append(lambda text, details: (lines.append(text), more.append(details)))
    engine.models.append(models.extend)
    assert not engine.knowledge.asked
    engine.ask()
    tools.until(lambda: "s per slice" in lines[-1] and engine.knowledge.asked)
    assert lines[0] == "Engine: starting…"
    assert lines[-1].startswith(f"{PHANTOM_MODEL.stem} · ready · ")
    assert more[-1].startswith("Engine: this computer, ready (CPU, ")
    assert str(PHANTOM_MODEL) in {one.name for one in models}


def test_the_models_own_gate_is_shown_before_anything_was_asked(bench: Any, tools: Any, served: Served) -> None:
    session = served.session()
    session.model = "default"
    bench.open_volume(Volume(np.zeros((1, 8, 8), np.uint8), Grid.pixels((1, 8, 8))))
    engine = EngineLine(lambda: session, tools.work, tools.notice, tools.timers)
    engine.ask()
    tools.until(lambda: engine.knowledge.asked)
    bench.desk.knowledge = engine.knowledge
    shown = bench.desk.overview.reapplying.thresholds.existence
    assert shown == checkpoint.read(registry.resolve("default")).history.notes["existence threshold"]
    tools.idle()  # it asks how long a slice takes: the server must be there still


def test_an_engine_that_cannot_be_asked_says_why(tools: Any) -> None:
    session, lines = Session.local(PHANTOM_MODEL), list[str]()
    session.close()
    engine = EngineLine(lambda: session, tools.work, tools.notice, tools.timers)
    engine.said.append(lambda text, _: lines.append(text))
    engine.ask()
    tools.idle()
    assert "closed" in lines[-1]


# --- models -----------------------------------------------------------------------------------------------------------


def test_a_model_that_was_loaded_is_used_and_remembered_and_one_that_is_not_there_changes_nothing(
    tools: Any, served: Served, tmp_path: Path
) -> None:
    session, settings, loaded = served.session(), Settings(model="default"), list[str]()
    session.model = "default"
    choice = ModelChoice(lambda: session, tools.work, tools.notice, settings)
    choice.loaded.append(lambda: loaded.append(session.model))
    choice.load("nobody")
    tools.idle()
    assert (session.model, loaded) == ("default", [])
    assert "nobody" in tools.speaker.sentence
    choice.import_file(PHANTOM_MODEL)
    tools.until(lambda: bool(loaded))
    assert session.model == Settings.load().model == loaded[0] == PHANTOM_MODEL.stem
    assert tools.speaker.sentence.startswith("The model is loaded: ")


def test_what_a_run_has_learnt_is_called_by_the_run() -> None:
    run = str(Path("runs") / "liver two" / "model.safetensors")
    assert shown_name(run) == "liver two"
    assert shown_name(str(Path("models") / "mine.safetensors")) == "mine"
    assert (shown_name("default"), shown_name("model.safetensors")) == ("default", "model")
    known = ["default", run]
    assert meant("liver two", known) == meant("model", known) == run  # which work of an earlier day calls it
    assert meant("gone", known) == "gone"


def test_a_download_is_agreed_to_stopped_and_gone_on_with(tools: Any, served: Served, hub: Hub, own_home: Path) -> None:
    session, chosen = served.session(), list[str]()
    place = FromHub(lambda: session, tools.work, tools.notice, tools.timers, chosen.append)
    place.get()
    assert not place.downloading  # nobody has seen any terms yet
    place.ask(PLACE)
    tools.until(lambda: place.offer is not None)
    hub.cuts.extend([20_000] * 3)
    place.get()
    assert place.downloading
    place.stop()
    assert not place.stoppable
    tools.until(lambda: not place.downloading)
    assert tools.speaker.sentence.startswith("Stopped at ")
    hub.cuts.clear()
    place.get()
    tools.until(lambda: bool(chosen))
    assert chosen == ["clinic--blobs--blobs"]
    assert (own_home / "models" / "clinic--blobs--blobs.safetensors").is_file()
    assert place.offer is None


def test_what_is_converted_can_not_be_stopped_any_more(tools: Any, served: Served, hub: Hub) -> None:
    session = served.session()
    place = FromHub(lambda: session, tools.work, tools.notice, tools.timers, lambda _: None)
    place.ask(PLACE)
    tools.until(lambda: place.offer is not None)
    place.get()
    place._heard.append(HubState(PLACE, "running", 5, 5, converting=True))
    place._look()
    assert not place.stoppable
    tools.until(lambda: not place.downloading)


class Breaks(Session):
    """Of which nobody knows what it will say."""

    def fetch_model(self, what: str) -> Iterator[HubState]:
        raise RuntimeError("out of the blue")


def test_a_download_that_breaks_off_in_a_way_nobody_thought_of_can_be_begun_again(
    tools: Any, served: Served, hub: Hub
) -> None:
    session = Breaks("default", address=served.address, token=served.token)
    place = FromHub(lambda: session, tools.work, tools.notice, tools.timers, lambda _: None)
    place.ask(PLACE)
    tools.until(lambda: place.offer is not None)
    place.get()
    tools.idle()
    assert "out of the blue" in tools.speaker.sentence
    assert not place.downloading


# --- windows ----------------------------------------------------------------------------------------------------------


def opened(volume: Volume) -> OpenImage:
    return MemoryStage().open(volume)


def test_choosing_a_window_by_name_costs_the_viewer_nothing_and_the_model_sees_it(
    tools: Any, served: Served, small: Phantom
) -> None:
    voxels = np.random.default_rng(0).normal(size=(40, 512, 512)).astype(np.float32)
    large, windows = opened(Volume(voxels, Grid.pixels(voxels.shape))), Windows(lambda _: (0.0, 1.0))
    assert windows.of(large) is None  # auto is the engine's own rule
    windows.choose("percentiles", large)
    before = time.thread_time()
    how = windows.of(large)
    assert time.thread_time() - before < 0.01
    assert how == "percentiles"
    shown = served.session().segment(small.volume, BRIGHT, slices=[3], window=how).result().provenance["window"]
    wanted = Window.choose("percentiles", small.volume.array)
    assert (shown["low"], shown["high"], shown["kind"]) == (wanted.low, wanted.high, wanted.kind)


def test_a_window_that_there_is_not_is_a_sentence(served: Served, small: Phantom) -> None:
    with pytest.raises(Exception, match="There is no window 'fog'"):
        served.session().segment(small.volume, BRIGHT, slices=[3], window="fog").result()


def test_the_viewers_contrast_is_taken_for_one_image_and_followed_on_others(small: Phantom) -> None:
    limits = {"image 0": (10.0, 60.0)}
    windows, image = Windows(lambda image: limits[image.key]), opened(small.volume)
    windows.take_contrast(image)
    limits["image 0"] = (0.0, 1.0)
    assert windows.of(image) == Window(10, 60, "the viewer's contrast")
    other = OpenImage("image 1", lambda: small.volume, lambda: "other")
    limits["image 1"] = (5.0, 6.0)
    assert windows.of(other) == Window(5, 6, "the viewer's contrast")
    windows.choose(AUTO, image)
    assert windows.of(image) is None


def test_a_window_chosen_for_a_ct_is_nothing_for_an_mr(small: Phantom) -> None:
    windows = Windows(lambda _: (0.0, 1.0))
    ct, mr, another = (opened(replace(small.volume, modality=one)) for one in ("CT", "MR", "CT"))
    windows.choose("lung", ct)
    assert [windows.of(one) for one in (ct, mr, another)] == ["lung", None, "lung"]
    windows.choose("percentiles", mr)
    assert [windows.of(one) for one in (ct, mr)] == ["lung", "percentiles"]


def test_a_window_that_goes_on_to_another_image_is_told_once_where_it_makes_a_difference(
    tools: Any, small: Phantom
) -> None:
    windows = Windows(lambda _: (0.0, 1.0))
    stage, values = MemoryStage(), np.linspace(-1000, 2000, 64).reshape(4, 4, 4).astype(np.int16)
    first, second, third, soft = (
        stage.open(Volume(one.astype(np.int16), Grid.pixels(values.shape), "CT"))
        for one in (values, values, values, values.clip(0, 300))
    )

    def told(image: OpenImage) -> str:
        tools.notice.say("It is open.")
        windows.arrived(image, tools.work, tools.notice)
        tools.idle()
        return str(tools.speaker.sentence)

    assert told(first) == "It is open."
    windows.choose("lung", first)
    assert told(first) == "It is open."  # whoever chose it knows
    assert told(second) == "It is open. Window as you chose it: lung (-910 to 590)."
    assert told(second) == "It is open."
    windows.choose("brain", second)
    assert told(first) == "It is open. Window as you chose it: brain (0 to 80)."
    windows.choose("soft tissue", third)
    assert tools.speaker.sentence == "It is open."  # it is another one now
    assert told(soft) == "It is open."  # as it would have been by itself
    windows.choose(AUTO, third)
    assert told(second) == "It is open."
    broken = OpenImage("broken", refusing(small.volume), lambda: "")
    windows.choose("lung", broken)
    assert told(OpenImage("another", refusing(small.volume), lambda: "")) == "It is open."


def test_the_picture_of_what_the_model_sees_is_made_beside_the_viewer(tools: Any, small: Phantom) -> None:
    windows, drawn = Windows(lambda _: (0.0, 1.0)), list[tuple[Picture, Window]]()
    image = opened(small.volume)
    for how in (AUTO, "stored"):
        windows.choose(how, image)
        windows.picture(image, 3, tools.work, lambda *told: drawn.append(told))
        tools.idle()
    assert [window.kind for _, window in drawn] == [small.volume.window().kind, "as stored"]
    assert drawn[0][0].shape == (*image.plan.slice_shape, 3)
    broken = replace(small.volume)  # its reader refuses
    windows.picture(OpenImage("broken", refusing(broken), lambda: ""), 3, tools.work, lambda *told: drawn.append(told))
    tools.idle()
    assert len(drawn) == 2


def refusing(volume: Volume) -> Any:
    def read() -> Volume:
        return replace(volume, grid=Grid.pixels((1, 1, 1)))

    return read
