"""What a backend of one's own may use: device, threads, memory; and giving memory back."""

import pytest
import torch
from serving import MODEL

from boltzformer import BoltzFormerError, Session
from boltzformer.engine.devices import use_cores
from boltzformer.io.phantom import BRIGHT, Phantom


@pytest.mark.slow
def test_memory_is_kept_under_a_limit_and_given_back_when_asked(small: Phantom) -> None:
    with Session.local(MODEL, device="cpu") as session:
        first = session.segment(small.volume, BRIGHT, slices=[3, 4]).result()
        told = session.health()
        assert told["why"] == "The device cpu was asked for."
        assert told["cached_bytes"] > 0
        session.free_memory()
        assert session.health()["cached_bytes"] == 0
        assert not any(model.loaded for model in session.models())
        again = session.segment(small.volume, BRIGHT, slices=[3, 4]).result()
        assert again.provenance == first.provenance

        process = session.backend().process
        session.use(cache_bytes=0, threads=1)
        assert process.wait(5) is not None
        assert session.segment(small.volume, BRIGHT, slices=[3, 4]).result().slices
        assert session.health()["cached_bytes"] == 0

        session.use(device="cuda:99")
        with pytest.raises(BoltzFormerError, match="CUDA"):
            session.segment(small.volume, BRIGHT, slices=[3]).result()


def test_threads_are_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        monkeypatch.setenv("BOLTZFORMER_THREADS", "3")
        use_cores()
        assert torch.get_num_threads() == 3
        monkeypatch.setenv("BOLTZFORMER_THREADS", "many")
        with pytest.raises(BoltzFormerError, match="whole number"):
            use_cores()
    finally:
        torch.set_num_threads(before)
