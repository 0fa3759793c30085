"""The network: tensors in, tensors out. No device, file, log or global randomness."""
