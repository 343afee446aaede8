"""The data sets that LightGCN's authors publish already split."""

import pathlib

from dsl_tf.data import adjacency, downloads
from dsl_tf.types import Dataset

URL = "https://raw.githubusercontent.com/kuandeng/LightGCN/master/Data"
LABEL = "LightGCN split"


def load(root: pathlib.Path | None, name: str, checksums: dict[str, str]) -> Dataset:
    """Reads `root/name`, or downloads the authors' two files.

    Args:
      root: the folder of data sets, or None.
      name: of the data set and its folder.
      checksums: sha256 or md5 by part, `train` and `test`.

    Raises:
      UserError: a broken file, or no network.
    """
    if root and adjacency.has_split(root / name):
        return adjacency.load_folder(root / name, name, LABEL)
    for part, checksum in checksums.items():
        path = downloads.fetch(
            f"{URL}/{name}/{part}.txt", f"{name}/{part}.txt", checksum
        )
    return adjacency.load_folder(path.parent, name, LABEL)
