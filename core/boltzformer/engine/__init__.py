"""From an image and prompts to answers, slice by slice."""
