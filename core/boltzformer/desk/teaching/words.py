"""What the Fine-tune dock says about a run, in sentences."""

from __future__ import annotations

from boltzformer.protocol import ErrandState


def sentence(state: ErrandState) -> str:
    """'Step 12 of 40: mask 0.53, existence 0.21, about 2 min left'."""
    if state.state != "running":
        told = {"finished": "Finished", "stopped": "Stopped", "absent": "There is no run here"}[state.state]
        step = f" at step {state.step} of {state.steps}; the best so far is kept" if state.model else ""
        if state.state == "finished":
            return f"Finished after {state.step} steps."
        return " ".join([f"{told}{step}.", *state.notes[-1:]])
    if not state.step:
        return "Asking the model what it can do already…" if state.plan else "Reading what was accepted…"
    some = ", ".join(f"{name} {state.losses[name]:.2f}" for name in ("mask", "existence") if name in state.losses)
    left = "" if state.eta is None else f", about {spoken_time(state.eta)} left"
    return f"Step {state.step} of {state.steps}: {some}{left}" + (
        ". Now it is compared with its parent…" if state.step == state.steps else ""
    )


def spoken_time(seconds: float) -> str:
    """'12 min', '40 s'."""
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(1, seconds):.0f} s"


def verdict(state: ErrandState) -> str:
    """What the gate says."""
    told = state.result
    if not told:
        return ""
    if told.get("promoted"):
        return "Passed: better on held-back slices, and no worse elsewhere."
    return f"Not better for sure: {'; '.join(told.get('because', ()))}."
