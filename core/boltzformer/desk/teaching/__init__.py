"""From what was accepted to a better model."""
