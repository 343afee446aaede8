"""DSL Figure 3: the update interval and the initial update ratio.

python -m dsl_tf.study --config=configs/studies/figure3.py:quick
python -m dsl_tf.study --config=configs/studies/figure3.py
"""

from dsl_tf.configs.studies import base
from dsl_tf.studies.curves import Lines
from dsl_tf.studies.plan import Study
from dsl_tf.studies.tables import Table

_INTERVAL, _RATIO = "sparsity.update_interval", "sparsity.initial_update_ratio"


def get_config(size: str = "full") -> Study:
    """The study in a size: `quick` or `full`."""
    quick = size == "quick"
    files = base.QUICK_FILES if quick else base.FULL_FILES
    sparsities = (0.5, 0.8) if quick else (0.3, 0.5, 0.8)
    intervals = (10, 50, 250) if quick else (10, 30, 100, 300, 1000)
    ratios = (0.1, 0.5, 0.9) if quick else (0.1, 0.3, 0.5, 0.7, 0.9)
    pruned = {"config": files, "sparsity.target": sparsities}
    dsl = {**pruned, "method.name": "dsl", "growth.horizon": "auto"}
    by = ("sparsity",)
    fixed = {"method": "random_pruning"}
    return Study(
        title="Update interval and initial update ratio (DSL Figure 3)",
        question=(
            "How often should weights move, in steps, and which share of them at "
            "first? Both have an optimum between too little exploration and "
            "weights that move before they are trained; without any exploration DSL is "
            "random pruning, the dashed lines."
        ),
        grid=(
            {"config": files, "method.name": "dense"},
            {**dsl, _INTERVAL: intervals},
            {**dsl, _RATIO: ratios},
            {**pruned, "method.name": "random_pruning"},
        ),
        seeds=(0,) if quick else (0, 1, 2),
        keys=base.NO_FILES | base.NO_PATIENCE,
        exhibits=(
            Lines(
                "figure3_interval",
                "Recall@20 over the update interval, by sparsity; dashed: no updates.",
                x=_INTERVAL,
                y="recall@20",
                by=by,
                panels="backbone",
                where={"method": "dsl"},
                levels=fixed,
                log=True,
            ),
            Lines(
                "figure3_ratio",
                "Recall@20 over the initial update ratio; dashed: no updates.",
                x=_RATIO,
                y="recall@20",
                by=by,
                panels="backbone",
                where={"method": "dsl"},
                levels=fixed,
            ),
            Table(
                "figure3",
                "Recall@20 and NDCG@20 by interval and ratio; where neither is said, "
                "nothing moves.",
                rows=("backbone", "data", "method", "sparsity", _INTERVAL, _RATIO),
            ),
        ),
    )
