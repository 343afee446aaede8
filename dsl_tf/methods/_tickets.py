"""Masks found by training: dense, pruned by magnitude, and trained again.

The loop of the lottery ticket hypothesis (Frankle and Carbin 2019) as LTH-MRS does
it for recommenders (Wang et al. 2022): prune what is left of each table by magnitude,
go back to some weights, train again. `magnitude_pruning`, `without_rewinding` and
`lottery_ticket` differ in how often, and in what they go back to.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from ml_collections import config_dict

from dsl_tf import streams
from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import UserError
from dsl_tf.layers.tables import DenseTables, SparseTables
from dsl_tf.methods import _weights, base, dsl
from dsl_tf.plugins import choose
from dsl_tf.sparsity.initialization import GivenMask
from dsl_tf.types import Split

#: The tables and the network of a model.
State = tuple[dict[str, np.ndarray], list[np.ndarray]]


def sparsities(target: float, share: float) -> list[float]:
    """The sparsity after each round, the last one exactly the target.

    Args:
      target: s, in [0, 1).
      share: of the weights that are left, pruned in each round, in (0, 1].

    Raises:
      UserError: `share` out of range.
    """
    if not 0 < share <= 1:
        raise UserError(
            f"`share`, pruned in each round, must be in (0, 1]. Received: {share}."
        )
    if share == 1:
        return [target]
    # A round less than a rounding error is none.
    rounds = math.ceil(math.log(1 - target) / math.log(1 - share) - 1e-9)
    found = [1 - (1 - share) ** k for k in range(1, rounds)]
    return [*found, target]


def train(
    passes: base.Passes,
    config: config_dict.ConfigDict,
    targets: Sequence[float],
    rewind: str,
) -> Backbone:
    """A dense pass, then for each sparsity a pass with the mask found before.

    Args:
      passes: takes them.
      config: the whole config.
      targets: s of each round, ascending.
      rewind: what each round starts from: `"init"`, the weights before the dense
        pass; `"random"`, newly drawn ones; `"none"`, those that were trained last.

    Raises:
      UserError: an unknown `rewind`.
    """
    weights_of_round = choose(_REWINDS, rewind, "rewind")
    initial: list[State] = []

    def keep(model: Backbone) -> None:
        initial.append(_state(model))
        passes.held_bytes = nbytes(initial[0])

    model = passes.backbone(config, make_dense, start=keep, name="dense")
    masks = None
    for number, target in enumerate(targets, start=1):
        trained = _state(model)
        del model  # two at a time would double the memory
        masks = _weights.largest(trained[0], target, masks)
        fresh = _fresh(passes, config, number)
        begins = weights_of_round(initial[0], fresh, trained)
        del trained
        others = nbytes(begins) if begins is not initial[0] else 0
        others += sum(mask.nbytes for mask in masks.values())
        passes.held_bytes = nbytes(initial[0]) + others
        start = starting_from(begins)
        name = base.SELECT if number == len(targets) else f"round_{number}"
        model = passes.one(name, config, given(masks), start=start)
    return model


def make_dense(config: config_dict.ConfigDict, split: Split, seed: int) -> DenseTables:
    """Dense tables of the same names and shapes as the sparse ones."""
    del seed
    return DenseTables(split.num_users, split.num_items, dsl.joint(config))


def given(masks: dict[str, np.ndarray]) -> base.MakeTables:
    """Makes sparse tables with masks that are known."""

    def make_tables(
        config: config_dict.ConfigDict, split: Split, seed: int
    ) -> SparseTables:
        return dataclasses.replace(
            dsl.make_tables(config, split, seed),
            masks=lambda name, *_: GivenMask(masks[name]),
        )

    return make_tables


def _state(model: Backbone) -> State:
    return _weights.tables(model), _weights.network(model)


def nbytes(state: State) -> int:
    """Bytes of a state."""
    return sum(each.nbytes for each in (*state[0].values(), *state[1]))


def starting_from(state: State) -> base.Start:
    """Gives a new model a state, sparse tables where they are active."""

    def start(model: Backbone) -> None:
        _weights.set_tables(model, state[0])
        _weights.set_network(model, state[1])

    return start


def _fresh(
    passes: base.Passes, config: config_dict.ConfigDict, number: int
) -> Callable[[], State]:
    """Draws weights that no other round starts from."""
    seed = streams.key(passes.seed, f"rewind/{number}")
    return lambda: _state(passes.untrained(config, make_dense, seed=seed))


#: Of the initial state, one newly drawn, and the one trained last: which.
_REWINDS: dict[str, Callable[[State, Callable[[], State], State], State]] = {
    "init": lambda initial, fresh, trained: initial,
    "random": lambda initial, fresh, trained: fresh(),
    "none": lambda initial, fresh, trained: trained,
}
