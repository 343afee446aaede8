"""stub to be written."""
import pathlib
from ml_collections import ConfigDict
from dsl_tf.types import Dataset

def load(path: pathlib.Path, config: ConfigDict) -> Dataset:
    raise NotImplementedError
