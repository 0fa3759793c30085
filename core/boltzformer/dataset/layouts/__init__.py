"""Other people's ways to lay out images and masks: each file knows one, there and back where that makes sense."""

from boltzformer.dataset.layouts.biomedparse import read_biomedparse, write_biomedparse
from boltzformer.dataset.layouts.incoming import Imported, Incoming, take_in
from boltzformer.dataset.layouts.judged import write_cvpr25, write_rex
from boltzformer.dataset.layouts.manifests import read_rows, write_manifest
from boltzformer.dataset.layouts.nnunet import read_nnunet, write_nnunet
from boltzformer.dataset.layouts.pairs import read_pair, read_pairs

__all__ = [
    "Imported",
    "Incoming",
    "read_biomedparse",
    "read_nnunet",
    "read_pair",
    "read_pairs",
    "read_rows",
    "take_in",
    "write_biomedparse",
    "write_cvpr25",
    "write_manifest",
    "write_nnunet",
    "write_rex",
]
