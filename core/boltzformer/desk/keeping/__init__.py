"""What is kept of an image's masks, and what leaves the viewer."""
