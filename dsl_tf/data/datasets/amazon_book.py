"""Amazon-Book (McAuley), the NGCF / LightGCN split: 52,643 users, 91,599 items.

KGAT's smaller Amazon-Book is another data set and never answers to this name.
"""

import pathlib

from dsl_tf.data.datasets import _lightgcn
from dsl_tf.types import Dataset

#: md5 of the authors' files, as BARS lists them (reczoo/Datasets, AmazonBooks_m1).
CHECKSUMS = {
    "train": "c916ecac04ca72300a016228258b41ed",
    "test": "30f8ccfea18d25007ba9fb9aba4e174d",
}


def load(root: pathlib.Path | None) -> Dataset:
    """Loads folder `amazon-book`: `train.txt` and `test.txt`.

    Raises:
      UserError: a broken file, or no network.
    """
    return _lightgcn.load(root, "amazon-book", CHECKSUMS)
