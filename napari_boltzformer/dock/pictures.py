"""What the dock shows of a picture, which has neither this slice nor others."""

from __future__ import annotations

from boltzformer import BoltzFormerError
from boltzformer.desk.image import OpenImage
from napari_boltzformer.dock.form import Form


def show_picture_buttons(form: Form, image: OpenImage | None, *, apart: bool) -> None:
    """One button to run for a picture, and where its objects are told `apart` what a click does with them; for a volume
    what there was."""
    try:
        picture = image is not None and image.is_picture
    except BoltzFormerError:  # running says why
        picture = False
    form.this_slice.setText("Run" if picture else "This slice")
    form.all_slices.setVisible(not picture)
    for slices in (form.between, form.follow, form.accept_all):
        slices.setEnabled(not picture)
    form.through.setVisible(not picture)
    form.by_click.setVisible(picture and apart)
