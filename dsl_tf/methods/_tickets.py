"""Masks found by training: dense, pruned by magnitude, and trained again.

The loop of the lottery ticket hypothesis (Frankle and Carbin 2019) as LTH-MRS does
it for recommenders (Wang et al. 2022): prune what is left of each table by magnitude,
go back to some weights, train again. `magnitude_pruning`, `without_rewinding` and
`lottery_ticket` differ in how often, and in what they go back to.
"""

import math
from collections.abc import Callable, Sequence

from ml_collections import config_dict

from dsl_tf import streams
from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import UserError
from dsl_tf.methods import _weights, base, dsl
from dsl_tf.methods._weights import State
from dsl_tf.plugins import choose


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
        initial.append(State.of(model))
        passes.held_bytes = initial[0].nbytes

    model = passes.backbone(config, dsl.make_dense, start=keep, name="dense")
    masks = None
    for number, target in enumerate(targets, start=1):
        trained = State.of(model)
        del model  # two at a time would double the memory
        masks = _weights.largest(trained.tables, target, masks)
        fresh = _fresh(passes, config, number)
        begins = weights_of_round(initial[0], fresh, trained)
        del trained
        others = begins.nbytes if begins is not initial[0] else 0
        others += sum(mask.nbytes for mask in masks.values())
        passes.held_bytes = initial[0].nbytes + others
        name = base.SELECT if number == len(targets) else f"round_{number}"
        model = passes.one(name, config, dsl.given(masks), start=begins.give)
    return model


def _fresh(
    passes: base.Passes, config: config_dict.ConfigDict, number: int
) -> Callable[[], State]:
    """Draws weights that no other round starts from."""
    seed = streams.key(passes.seed, f"rewind/{number}")
    return lambda: State.of(passes.untrained(config, dsl.make_dense, seed=seed))


#: Of the initial state, one newly drawn, and the one trained last: which.
_REWINDS: dict[str, Callable[[State, Callable[[], State], State], State]] = {
    "init": lambda initial, fresh, trained: initial,
    "random": lambda initial, fresh, trained: fresh(),
    "none": lambda initial, fresh, trained: trained,
}
