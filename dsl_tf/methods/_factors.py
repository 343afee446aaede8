"""A factorisation of the interactions, which first masks are made of."""

from ml_collections import config_dict

from dsl_tf.accounting.macs import TrainingMacs
from dsl_tf.methods import base, dsl
from dsl_tf.sparsity.nmf import NmfMasks


def factored(
    passes: base.Passes, config: config_dict.ConfigDict, iterations: int
) -> NmfMasks | None:
    """Masks of a factorisation of the training part, which is a pass of its own.

    Args:
      passes: takes the pass, called `factorise`.
      config: the whole config.
      iterations: of the factorisation, at most.

    Returns:
      None where the model that begins with them is not trained.
    """
    split = passes.split
    masks = NmfMasks(
        lambda: split.train.csr(split.num_users, split.num_items),
        iterations,
        passes.seed,
    )
    model = passes.untrained(config, dsl.make_tables)
    widths = sorted({weight.shape[1] for weight in model.sparse_weights()})
    taken = TrainingMacs(sum(map(masks.macs, widths)), 0, 0)
    passes.held_bytes = masks.nbytes(split.num_users + split.num_items, widths)
    return passes.made("factorise", lambda: masks.factored(widths), taken)


def forgetting(passes: base.Passes, masks: NmfMasks | None) -> base.Start:
    """Lets the factors go before a pass, whose model has its masks by then."""

    def start(model: object) -> None:
        del model
        if masks is not None:
            masks.forget()
        passes.held_bytes = 0

    return start
