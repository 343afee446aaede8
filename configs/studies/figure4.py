"""DSL Figure 4: how sparse rows are by the popularity of their user or item.

python -m dsl_tf.study --config=configs/studies/figure4.py:quick
python -m dsl_tf.study --config=configs/studies/figure4.py
"""

from dsl_tf.configs.studies import base
from dsl_tf.studies.figures import Popularity
from dsl_tf.studies.plan import Study


def get_config(size: str = "full") -> Study:
    """The study in a size: `quick` or `full`."""
    quick = size == "quick"
    files = (
        (*base.QUICK_FILES, "configs/lightgcn.py:demo")
        if quick
        else (*base.FULL_FILES, "configs/lightgcn.py:gowalla")
    )
    shown = [(f.partition(":")[0][8:-3], f.partition(":")[2]) for f in files]
    return Study(
        title="Sparsity by popularity (DSL Figure 4)",
        question=(
            "Does the budget of weights move to the users and items that have more "
            "interactions? Rows are sorted by their training interactions and cut into "
            "ten groups of equal size; below, the weights of rows from all over the "
            "item table, the least popular on top."
        ),
        grid=(
            {
                "config": files,
                "method.name": "dsl",
                "sparsity.target": (0.5, 0.8),
            },
        ),
        keys=base.NO_FILES | base.NO_PATIENCE,
        exhibits=[
            Popularity(
                f"figure4_{backbone}_{name}_{sparsity:g}{'_heat_map' * heat_map}",
                f"{backbone} on {name} at sparsity {sparsity:g}"
                + (": magnitudes of the weights of items." if heat_map else "."),
                heat_map=heat_map,
                where={"backbone": backbone, "data": name, "sparsity": sparsity},
            )
            for backbone, name in shown
            for sparsity in (0.5, 0.8)
            for heat_map in (False, True)
        ],
    )
