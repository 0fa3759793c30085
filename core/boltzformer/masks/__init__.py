"""What can be said of masks without a model: objects, lesions, probabilities, pictures."""
