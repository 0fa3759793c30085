"""Files in and out through napari's own menus."""
