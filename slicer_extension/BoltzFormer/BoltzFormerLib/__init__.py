"""Slicer's side of the desk: masks, images and slices in MRML, the panel, the backend's environment. Never torch."""
