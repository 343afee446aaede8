"""Checkpoints from which a run goes on bit for bit."""

import json
import shutil
from pathlib import Path
from typing import Any

import tensorflow as tf

from dsl_tf.files import replacing

#: Files of a folder that hold what is no tensor, the newest last.
STATES = "step-*/state.json"


def read_state(folder: Path) -> dict[str, Any] | None:
    """The JSON state of the newest checkpoint in `folder`, or None."""
    found = sorted(folder.glob(STATES))
    if not found:
        return None
    state: dict[str, Any] = json.loads(found[-1].read_text("utf-8"))
    if "exploration" in state:  # its name in runs of before
        state["companion"] = state.pop("exploration")
    return state


class CheckpointFolder:
    """`<folder>/step-<n>/`: tensors and a JSON state, the newest one kept.

    A checkpoint is written beside and renamed, and the one before is deleted
    only then: a kill or a full disk leaves a good one.

    Args:
      folder: where the checkpoints go.
      tensors: what to track: the model, its optimiser, gradient recorders.
    """

    def __init__(self, folder: Path, tensors: dict[str, Any]) -> None:
        self._folder = folder
        self._checkpoint = tf.train.Checkpoint(**tensors)

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write a checkpoint and drop the older ones.

        Args:
          step: optimiser steps done.
          state: JSON-ready; everything that is not a tensor.
        """
        target = self._folder / f"step-{step:010d}"
        with replacing(target) as partial:
            partial.mkdir()
            self._checkpoint.write(str(partial / "tensors"))
            (partial / "state.json").write_text(json.dumps(state), encoding="utf-8")
        for other in self._folder.glob("step-*"):
            if other != target:
                shutil.rmtree(other)

    def restore(self) -> dict[str, Any] | None:
        """Read the newest checkpoint into the tracked objects.

        Returns:
          Its state, or None if there is no checkpoint.
        """
        state = read_state(self._folder)
        if state is not None:
            newest = max(self._folder.glob(STATES)).parent
            read = self._checkpoint.read(str(newest / "tensors"))
            read.assert_existing_objects_matched()
        return state


class BestWeights:
    """The weights and masks of the best epoch, in `<folder>/best-<epoch>/`.

    Args:
      folder: where they go.
      weights: the model's weights, in the model's order, all built.
    """

    def __init__(self, folder: Path, weights: list[tf.Variable]) -> None:
        self._folder = folder
        self._checkpoint = tf.train.Checkpoint(weights=weights)

    def _path(self, epoch: int) -> Path:
        return self._folder / f"best-{epoch:05d}"

    def save(self, epoch: int) -> None:
        """Keep the present weights; older ones go with `prune`."""
        with replacing(self._path(epoch)) as partial:
            partial.mkdir()
            self._checkpoint.write(str(partial / "tensors"))

    def prune(self, epoch: int) -> None:
        """Drop all but `epoch`, once no checkpoint refers to others."""
        for other in self._folder.glob("best-*"):
            if other != self._path(epoch):
                shutil.rmtree(other)

    def restore(self, epoch: int) -> None:
        """Put the weights of `epoch` into the model."""
        read = self._checkpoint.read(str(self._path(epoch) / "tensors"))
        read.assert_existing_objects_matched()
