"""How a model learns: recipes, data, the one loop, fine-tuning."""
