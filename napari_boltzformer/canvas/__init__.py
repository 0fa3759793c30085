"""What is drawn on the canvas and what a click there does."""
