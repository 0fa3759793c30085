"""The model: tensors in, tensors out; no device, file, log or global randomness."""
