"""Gowalla check-ins (SNAP), the NGCF / LightGCN split."""

import pathlib

from dsl_tf.data.datasets import _lightgcn
from dsl_tf.types import Dataset

#: sha256 of the authors' files.
CHECKSUMS = {
    "train": "7244696fdeb23911319cf7b689f2e15a3c4c92549c873a5677b44e3f13cc3e62",
    "test": "099a2a73924e4b754dc6efd730d764f492321b53c38eb93298850c83acf57be3",
}


def load(root: pathlib.Path | None) -> Dataset:
    """Loads folder `gowalla`: `train.txt` and `test.txt`.

    Raises:
      UserError: a broken file, or no network.
    """
    return _lightgcn.load(root, "gowalla", CHECKSUMS)
