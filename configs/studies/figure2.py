"""DSL Figure 2: quality over sparsity, of DSL and of other ways to prune.

python -m dsl_tf.study --config=configs/studies/figure2.py:quick
python -m dsl_tf.study --config=configs/studies/figure2.py
"""

from dsl_tf.configs.studies import base
from dsl_tf.studies.curves import Lines
from dsl_tf.studies.plan import Study
from dsl_tf.studies.tables import Table

_PRUNING = ("dsl", "random_pruning", "magnitude_pruning", "lottery_ticket")


def get_config(size: str = "full") -> Study:
    """The study in a size: `quick` or `full`."""
    quick = size == "quick"
    files = base.QUICK_FILES if quick else base.FULL_FILES
    sparsities = (0.5, 0.9) if quick else base.SPARSITIES
    return Study(
        title="Quality over sparsity (DSL Figure 2)",
        question=(
            "How much of the dense model's quality is left at each sparsity, and is a "
            "mask that moves while it is trained better than one that is random, or "
            "found by magnitude in a trained model? Training from a random mask costs "
            "one sparse pass; pruning by magnitude a dense pass and a sparse one, the "
            "lottery ticket one more for each round."
        ),
        grid=(
            {"config": files, "method.name": "dense"},
            {"config": files, "method.name": _PRUNING, "sparsity.target": sparsities},
        ),
        seeds=(0,) if quick else (0, 1, 2),
        # Half of what is left in a round, where it is to be quick.
        keys=base.NO_FILES
        | base.NO_PATIENCE
        | ({"method.lottery_ticket.share": 0.5} if quick else {}),
        exhibits=(
            *(
                Lines(
                    f"figure2_{metric.partition('@')[0]}",
                    f"{metric} of the test set over sparsity; dashed: dense.",
                    x="sparsity",
                    y=metric,
                    panels="backbone",
                    where={"method": _PRUNING},
                    levels={"method": "dense"},
                )
                for metric in ("recall@20", "ndcg@20")
            ),
            Table(
                "figure2",
                "Recall@20 and NDCG@20 by method and sparsity.",
                rows=("backbone", "data", "method", "sparsity"),
            ),
        ),
    )
