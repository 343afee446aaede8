"""Yelp challenge 2018, the NGCF / LightGCN split."""

import pathlib

from dsl_tf.data.datasets import _lightgcn
from dsl_tf.types import Dataset

#: sha256 of the authors' files.
CHECKSUMS = {
    "train": "1e9568725a9e833d0ac3bae01c94cd95367f73b3bb6104fd26b5f65ea5054093",
    "test": "9cd9b37926cd1447a06625ffa7914527573fb097c10cb0bbdb1d1b8ded3742fe",
}


def load(root: pathlib.Path | None) -> Dataset:
    """Loads folder `yelp2018`: `train.txt` and `test.txt`.

    Raises:
      UserError: a broken file, or no network.
    """
    return _lightgcn.load(root, "yelp2018", CHECKSUMS)
