"""DSL Figure 5: convergence of the training loss.

python -m dsl_tf.study --config=configs/studies/figure5.py:quick
python -m dsl_tf.study --config=configs/studies/figure5.py
"""

from dsl_tf.configs.studies import base
from dsl_tf.studies.curves import Loss
from dsl_tf.studies.plan import Study
from dsl_tf.studies.tables import NDCG, RECALL, SECONDS, Table

#: What tells curves apart.
_BY = ("method", "sparsity.initial_update_ratio", "sparsity.update_interval")


def get_config(size: str = "full") -> Study:
    """The study in a size: `quick` or `full`."""
    quick = size == "quick"
    data = base.QUICK_DATA if quick else ("ml-1m",)
    files = base.files(("multvae", "lightgcn"), data)
    if not quick:
        files = (*files, "configs/lightgcn.py:gowalla")
    pruned = {"config": files, "sparsity.target": 0.5}
    dsl = {**pruned, "method.name": "dsl", "growth.horizon": "auto"}
    return Study(
        title="Convergence of the training loss (DSL Figure 5)",
        question=(
            "Does a mask that moves slow training down? Dense, random pruning, and DSL "
            "with different initial update ratios and update intervals."
        ),
        grid=(
            {"config": files, "method.name": "dense"},
            {**pruned, "method.name": "random_pruning"},
            {**dsl, "sparsity.initial_update_ratio": (0.1, 0.5, 0.9)},
            # MultVAE on the demo data has 48 steps in all.
            {**dsl, "sparsity.update_interval": (5, 40) if quick else (50, 500)},
        ),
        keys={
            **base.NO_FILES,
            **base.NO_PATIENCE,
            **({"train.epochs": 12} if quick else {}),
        },
        exhibits=[
            Loss(
                f"figure5_{name}",
                f"Training loss by epoch on {name}, at half the weights.",
                by=_BY,
                panels="backbone",
                where={"data": name},
            )
            for name in dict.fromkeys(file.partition(":")[2] for file in files)
        ]
        + [
            Table(
                "figure5",
                "What the curves end in.",
                rows=("backbone", "data", *_BY),
                values=(RECALL, NDCG, SECONDS),
            )
        ],
    )
