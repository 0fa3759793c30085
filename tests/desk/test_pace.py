"""How long a slice takes: measured on a tiny image until a run has told, whose pace the next one's time left begins
from."""

from typing import Any

from bench import Bench

from boltzformer import Session
from boltzformer.desk.models.engine import LAST_RUN, EngineLine
from boltzformer.io.phantom import BRIGHT, DARK, Phantom


def test_the_line_and_the_next_runs_time_left_learn_from_a_run(bench: Bench, session: Session, small: Phantom) -> None:
    desk, lines, paces = bench.desk, list[tuple[str, str]](), list[float]()
    engine = EngineLine(lambda: session, desk.work, desk.notice, bench.timers)
    engine.said.append(lambda text, more: lines.append((text, more)))
    desk.running.paced.append(engine.paced)
    desk.running.paced.append(lambda seconds, _: paces.append(seconds))
    left: list[Any] = []
    desk.running.began.append(lambda run: left.append(run.seconds_left))
    engine.ask()
    bench.until(lambda: bool(lines) and "s per slice" in lines[-1][0])
    bench.idle()
    assert LAST_RUN not in lines[-1][1]

    bench.open_volume(small.volume)
    desk.running.start([BRIGHT], only_this=True)
    bench.idle()
    assert paces == []  # one slice tells nothing
    for prompts in ([BRIGHT], [BRIGHT], [BRIGHT, DARK]):
        desk.running.start(prompts, only_this=False)
        bench.idle()
    assert len(paces) == 3
    assert f" · {max(paces[-1], 0.01):.2g} s per slice" in lines[-1][0]
    assert LAST_RUN in lines[-1][1]
    # nothing was known; then so many slices at the pace of the run before; two prompts are another kind
    assert left == [None, None, paces[0] * 16, None]
