"""DSL Table 4: how the share of moving weights falls.

python -m dsl_tf.study --config=configs/studies/table4.py:quick
python -m dsl_tf.study --config=configs/studies/table4.py
"""

from dsl_tf.configs.studies import base
from dsl_tf.studies.plan import Study
from dsl_tf.studies.tables import Table

_SCHEDULE, _REPLACES = "sparsity.schedule", "sparsity.exploration_replaces_step"

_GOWALLA = (
    " Ours on Gowalla are of 16 epochs on nine tenths of the training part, the "
    "paper's of 1,000 on all of it."
)


def get_config(size: str = "full") -> Study:
    """The study in a size: `quick` or `full`."""
    quick = size == "quick"
    files = base.QUICK_FILES if quick else base.FULL_FILES
    axes = {
        "method.name": "dsl",
        "sparsity.target": 0.5,
        _SCHEDULE: ("cosine", "linear", "constant"),
        _REPLACES: (False, True),
    }
    # The paper's data; half the epochs of the config, and four validations.
    half = {"config": "configs/lightgcn.py:gowalla", "train.epochs": 16}
    return Study(
        title="Decay of the update ratio (DSL Table 4)",
        question=(
            "Should the share of weights that move fall along a cosine, along a line, "
            "or not at all? Algorithm 1, read literally, has an exploration take the "
            "optimiser's place in its step; both readings are here. The paper does not "
            "say which of them its numbers are of, so they stand beside both."
        ),
        grid=(
            {"config": files, "method.name": "dense"},
            {"config": files, **axes},
            *(() if quick else ({**half, "method.name": "dense"}, {**half, **axes})),
        ),
        seeds=(0,) if quick else (0, 1, 2),
        keys=base.NO_FILES | base.NO_PATIENCE,
        exhibits=(
            Table(
                "table4",
                "Recall@20 and NDCG@20 by decay, at half the weights."
                + ("" if quick else _GOWALLA),
                rows=(_SCHEDULE, _REPLACES),
                columns=("backbone", "data"),
                where={"method": "dsl"},
                paper={
                    (decay, replaces, "lightgcn", data): numbers
                    for (data, decay), numbers in base.TABLE_4.items()
                    for replaces in (False, True)
                },
            ),
        ),
    )
