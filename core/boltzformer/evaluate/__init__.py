"""How good a model is: asked as a user would, scored, reported."""
