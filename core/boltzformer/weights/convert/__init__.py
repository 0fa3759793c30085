"""Published weights → model files of our own. Nothing from a foreign file is ever run."""

from boltzformer.weights.convert.converting import Origin, Report, convert, read_config

__all__ = ["Origin", "Report", "convert", "read_config"]
