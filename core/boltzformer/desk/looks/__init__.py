"""How the model looked at a slice."""
