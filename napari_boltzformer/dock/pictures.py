"""What the dock shows of a picture, which has neither this slice nor others, nor any plane but one."""

from __future__ import annotations

from boltzformer import BoltzFormerError
from boltzformer.desk.desk import Desk
from napari_boltzformer.dock.form import Form
from napari_boltzformer.host.compared import flat
from napari_boltzformer.host.layers import has_sides
from napari_boltzformer.host.stage import NapariStage


def show_picture_buttons(form: Form, desk: Desk, stage: NapariStage) -> None:
    """One button to run for a picture, and where its objects are told apart what a click does with them; for a volume
    what there was."""
    show_planes(form, desk, stage)
    image, apart = stage.chosen(), desk.overview.reapplying.thresholds.apart
    try:
        picture = image is not None and image.is_picture
    except BoltzFormerError:  # running says why
        picture = False
    form.this_slice.setText("Run" if picture else "This slice")
    form.all_slices.setVisible(not picture)
    for slices in (form.between, form.follow, form.accept_all):
        slices.setEnabled(not picture)
    reach = "" if picture else " in all its slices"
    form.objects.setToolTip(f"A click deletes the object under the mouse{reach}; Shift+click all others")
    form.through.setVisible(not picture)
    form.by_click.setVisible(picture and apart)


def show_planes(form: Form, desk: Desk, stage: NapariStage) -> None:
    """For a volume of which anybody knows which side is which; beside a picture, which has one plane alone, they wait,
    for napari turns all that it shows at once."""
    image = stage.chosen()
    on = image is not None and not flat(image.layer) and has_sides(image.layer)
    beside = [one for one in stage.images() if one in desk.patients.beside]
    picture = next((one.name for one in beside if flat(one.layer)), "")
    for name, button in form.planes.items():
        button.setVisible(on)
        button.setEnabled(not picture)
        waits = f"'{picture}' beside it has one plane only: remove it from the layer list first"
        button.setToolTip(waits if picture else f"Shows {name} slices")
