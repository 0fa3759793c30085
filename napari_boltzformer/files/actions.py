"""Layers → Segment: the same run as a form of its own, for macros and other plugins; the answer is layer data."""

# No postponed annotations here: magicgui reads them as they are.
import numpy as np
from magicgui import magic_factory
from napari.layers import Image
from napari.qt.threading import FunctionWorker, thread_worker
from napari.types import LayerDataTuple
from qtpy.QtCore import QTimer

from boltzformer import Prediction, Session
from boltzformer.desk.models.knowledge import as_prompt
from boltzformer.desk.settings import Settings
from napari_boltzformer.host.layers import empty_labels, facts_of, volume_of
from napari_boltzformer.host.mask import OPACITY


def segmented(image: Image, text: str, session: Session) -> LayerDataTuple:
    """All slices, waited for: data and options of a Labels layer that lies on the image."""
    volume, prompt = volume_of(image), as_prompt(text)
    prediction: Prediction = session.segment(volume, prompt).result()
    view = volume.grid.canonical(volume.slice_axis)
    mask = view.apply(prediction.labels().layers[0])
    _, options = empty_labels(image, prompt.name)
    told = {"boltzformer": facts_of(volume), "provenance": dict(prediction.provenance)}
    shown = np.ascontiguousarray(mask if image.ndim == 3 else mask[0])
    return LayerDataTuple((shown, {**options, "opacity": OPACITY, "metadata": told}, "labels"))


@magic_factory(call_button="Segment", prompt={"label": "What to look for"})
def segment(image: Image, prompt: str = "MS lesion in brain MRI", model: str = "") -> FunctionWorker[LayerDataTuple]:
    """An engine of its own, for this run alone."""

    @thread_worker
    def work() -> LayerDataTuple:
        with Session.local(model or Settings.load().model) as session:
            return segmented(image, prompt, session)

    worker = work()
    QTimer.singleShot(0, worker.start)  # only then has napari connected what takes the answer
    return worker
