"""ESAPN (Liu et al., SIGIR 2020): every row has one size, which a policy lets grow.

A row of DSL's Table 3. All users and items begin with the smallest size. From time to
time rows are asked, and a policy that sees how popular a row is and which size it has
lets it stay or take the next larger one, see `dsl_tf.layers.chosen_sizes`. The policy
is trained by REINFORCE: one step of the model later the reward is

    R = 1 - loss of a validation batch,

and the gradient that of -(R - b) mean log π(action), with b the mean of the last
rewards. Asked are the users and items of that batch, and those of as many training
interactions: else a row without validation would never grow.

In the paper growth ends by itself. Here it also ends with a budget: the sizes of a
table's rows never sum up to more than 1 - s of its positions; growth that would is
refused, and not learnt from. In training all candidate tables are held, so memory is
more than that of dense tables, not less: `state_bytes` in the cost report. What is
handed back holds each row in its own size, `table_bytes`; with the maps and a few bytes
a row that say where it stands this is a little above 1 - s of the dense bytes. What is
exported are the rows that are made, in full.

The epoch is selected on the same validation part as the policy learns from; a refit,
which has none, trains anew with the sizes that were selected, fixed.
"""

import functools
from typing import Any

import numpy as np
import tf_keras as keras
from ml_collections import config_dict

from dsl_tf.accounting import macs
from dsl_tf.accounting.macs import OPTIMIZER_MACS, Layers, TrainingMacs
from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import check_keys
from dsl_tf.layers.chosen_sizes import ChosenEmbedding, ChosenTables
from dsl_tf.methods import _weights, base, dsl
from dsl_tf.methods._growing import Growing
from dsl_tf.methods._held_out import HeldOut, Making, making_macs
from dsl_tf.training.companions import Companion
from dsl_tf.types import Split, StepSize

SETTINGS = {
    # Candidates, as fractions of a table's width; at least 1 wide.
    "sizes": (0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0),
    # Units of the policy's hidden layer.
    "hidden": 512,
    # Of the policy's Adam.
    "learning_rate": 1e-4,
    # How often rows are asked, spread over the planned steps.
    "rounds": 200,
    # Probability at first that a row grows when it is asked.
    "initial_growth": 0.1,
    # Rewards that the baseline is the mean of.
    "baseline": 5,
}

#: What `python -m dsl_tf.tune` varies.
SPACE = {
    "method.esapn.learning_rate": {"low": 1e-5, "high": 1e-2, "log": True},
    "method.esapn.rounds": (50, 100, 200, 400),
    "method.esapn.initial_growth": {"low": 0.02, "high": 0.5, "log": True},
}


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """One pass; rows are handed back in their own sizes."""
    settings, split = config.method.esapn, passes.split
    check_keys(
        "method.esapn",
        settings,
        hidden=(settings.hidden >= 1, "at least 1"),
        learning_rate=(settings.learning_rate > 0, "above 0"),
        rounds=(settings.rounds >= 1, "at least 1"),
        initial_growth=(0 < settings.initial_growth < 1, "in (0, 1)"),
        baseline=(settings.baseline >= 1, "at least 1"),
    )

    def growth(config: config_dict.ConfigDict, planned_steps: int, seed: int) -> Growth:
        own = config.method.esapn
        return Growth(
            Growing(
                HeldOut(split, config, seed),
                split.train,
                sparsity=config.sparsity.target,
                interval=max(1, planned_steps // own.rounds),
                hidden=own.hidden,
                learning_rate=own.learning_rate,
                initial_growth=own.initial_growth,
                baseline=own.baseline,
                seed=seed,
            )
        )

    if len(split.validation):
        model = passes.backbone(config, make_tables, growth)
        if config.train.refit:
            passes.choose("sizes", functools.partial(sizes, model))
    else:
        found = passes.chosen("sizes", config)
        model = passes.backbone(config, of_sizes(found), Making)
    found = sizes(model)
    used = [layer.used() for layer in chosen_layers(model)]
    network = _weights.network(model)
    del model  # two at a time would double the memory

    def trained(new: Backbone) -> None:
        for layer, values in zip(chosen_layers(new), used, strict=True):
            layer.set_used(values)
        _weights.set_network(new, network)

    return passes.untrained(config, of_sizes(found, compact=True), trained)


def make_tables(
    config: config_dict.ConfigDict, split: Split, seed: int
) -> ChosenTables:
    """Tables of all candidate sizes, in which all rows have the smallest."""
    del seed
    return ChosenTables(
        split.activity(),
        split.popularity(),
        dsl.joint(config),
        config.method.esapn.sizes,
    )


def of_sizes(found: list[list[int]], compact: bool = False) -> base.MakeTables:
    """Makes tables whose rows have the sizes that `sizes` found in others."""

    def make(config: config_dict.ConfigDict, split: Split, seed: int) -> ChosenTables:
        del seed
        return ChosenTables(
            split.activity(),
            split.popularity(),
            dsl.joint(config),
            config.method.esapn.sizes,
            chosen=(np.array(each) for each in found),
            compact=compact,
        )

    return make


def sizes(model: keras.Model) -> list[list[int]]:
    """Of the rows of each table, as places among its candidates; JSON-ready."""
    return [layer.size_of().tolist() for layer in chosen_layers(model)]


class Growth(Companion):
    """The growth of rows as what goes along with a pass.

    Args:
      callback: lets them grow.
    """

    callback: Growing

    def __init__(self, callback: Growing) -> None:
        super().__init__(callback)

    def tensors(self) -> dict[str, Any]:
        """The policies and their optimiser."""
        policies = {
            f"policy_{i}": policy for i, policy in enumerate(self.callback.policies)
        }
        return {**policies, "policy_optimizer": self.callback.optimizer}

    def state(self) -> dict[str, Any]:
        """The last rewards."""
        return {"rewards": self.callback.rewards}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state()`."""
        self.callback.rewards = state["rewards"]

    def row(self, since: int) -> dict[str, Any]:
        """The mean size over the rows of all tables, and the last reward."""
        del since
        layers = chosen_layers(self.callback.model)
        rows = sum(layer.input_dim for layer in layers)
        rewards = self.callback.rewards
        return {
            "mean_size": sum(layer.taken() for layer in layers) / rows,
            "reward": rewards[-1] if rewards else 0.0,
        }

    def macs(self, steps: int, size: StepSize) -> Layers:
        """Making rows in each step; in each round, the reward and the policies.

        A policy is asked once to act and once more to learn. Who is asked twice in a
        round counts twice.
        """
        model, held_out = self.callback.model, self.callback.batches.size
        rounds = -(-steps // self.callback.interval)  # the first before any step
        scoring = macs.training(macs.of_layers(model), rounds, held_out)
        reward = rounds * making_macs(model, held_out)
        reward += macs.summed(scoring.values()).forward
        making = steps * making_macs(model, size)
        policies = self.callback.policies
        asked = 2 * (held_out.users + held_out.positives)
        acting = rounds * asked * sum(policy.macs() for policy in policies)
        weights = sum(v.shape.num_elements() for p in policies for v in p.variables)
        policy = TrainingMacs(
            forward=making + reward + 2 * acting,
            backward=2 * (making + acting),
            optimizer=rounds * OPTIMIZER_MACS * weights,
        )
        return {"policies": policy}


def chosen_layers(model: keras.Model) -> list[ChosenEmbedding]:
    """The layers whose rows have one size."""
    layers = model._flatten_layers()
    return [each for each in layers if isinstance(each, ChosenEmbedding)]
