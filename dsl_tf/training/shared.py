"""Passes that several runs take alike: trained by the first, read by the others.

A dense pass is the same whether it is pruned once, in rounds or not at all afterwards,
and the rounds of a lottery ticket at one sparsity are the first ones at a higher one.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ml_collections import config_dict

from dsl_tf import locks, provenance
from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import UserError
from dsl_tf.training import checkpoints
from dsl_tf.types import Split

#: Nodes of a config that a pass without a companion depends on.
_NODES = ("model", "train", "optimizer", "evaluation")

#: Ends the name of the folder that is held while a pass is taken.
_TAKING = ".taking"

#: How often it is looked whether a pass has been taken, in seconds.
_EVERY = 0.5


class SharedPasses:
    """Finished passes by what they began with, in folders of their own.

    What is kept is linked where the system can link files, so it takes no bytes beside
    those of the runs. Several processes may use a folder at a time: of those that come
    to the same pass one takes it, and the others wait for it.

    Args:
      folder: of the passes; made where it is missing.
      run: the folder of the run that uses it, which others are told of.
    """

    def __init__(self, folder: Path, run: Path) -> None:
        self._folder = folder
        self._run = run

    @contextlib.contextmanager
    def taking(
        self, key: str, folder: Path, waits: Callable[[], None]
    ) -> Iterator[bool]:
        """Within it a pass is taken, by no other process meanwhile.

        Another run's pass is put where this run has its own. Where one is about to
        finish it, however long that takes, this waits for it: both would take as long.
        A run that ends before it finishes lets the next one take it. At its end others
        may have the pass; it is not kept if there is an exception.

        Args:
          key: of `fingerprint`.
          folder: of the pass in this run; a pass that was begun there waits for nobody.
          waits: called once, if it has to.

        Yields:
          Whether another run took it, so that it is there.
        """
        kept = self._folder / key
        with contextlib.ExitStack() as turn:
            told = False
            while not kept.is_dir():
                try:
                    turn.enter_context(locks.held(self._folder / f"{key}{_TAKING}"))
                    break
                except UserError:  # another process holds it
                    if folder.exists():
                        break
                if not told:
                    told = True
                    waits()
                time.sleep(_EVERY)
            state = checkpoints.read_state(folder)
            read = kept.is_dir() and not (state and state["finished"])
            if read:
                # Begun, before the other run had finished it.
                shutil.rmtree(folder, ignore_errors=True)
                self._place(kept, folder)
            yield read
            if not kept.exists():
                self._place(folder, kept)

    def _place(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        # In a folder that no other process has: all of it appears, or nothing.
        with tempfile.TemporaryDirectory(dir=target.parent) as made:
            partial = Path(made) / target.name
            shutil.copytree(source, partial, copy_function=_link)
            for file in partial.glob(checkpoints.STATES):
                state = json.loads(file.read_text("utf-8"))
                state["read_from"] = state.get("read_from") or str(self._run)
                file.unlink()  # a link: the other run's file stays as it is
                file.write_text(json.dumps(state), encoding="utf-8")
            with contextlib.suppress(OSError):  # another process was first
                os.rename(partial, target)


def fingerprint(
    model: Backbone, split: Split, config: config_dict.ConfigDict, **more: Any
) -> str:
    """What the outcome of a pass depends on that has no companion and no loss terms.

    These are the model's layers and weights before its first step, masks too, the
    interactions, the config of training and validation, and the code.

    Args:
      model: before its first step.
      split: that it is trained on.
      config: the whole config; what a method reads of it does not matter.
      **more: JSON-ready, such as the seed.

    Returns:
      sha256, hex.
    """
    nodes = {name: config[name].to_dict() for name in _NODES}
    layers = [[type(each).__name__, _scalars(each)] for each in model._flatten_layers()]
    digest = hashlib.sha256(
        json.dumps(
            [
                provenance.code(),
                tf.__version__,
                split.fingerprint(),
                nodes,
                layers,
                more,
            ],
            sort_keys=True,
        ).encode()
    )
    for variable in model.weights:
        value = np.ascontiguousarray(variable.numpy())
        digest.update(f"{value.dtype} {value.shape}".encode())
        digest.update(value.data)
    return digest.hexdigest()


def _scalars(layer: tf.Module) -> dict[str, Any]:
    """What a layer was told to do; names are counted up by Keras."""
    return {
        name: value
        for name, value in vars(layer).items()
        if isinstance(value, bool | int | float | str) and not name.startswith("_")
    }


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
