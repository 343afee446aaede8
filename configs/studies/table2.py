"""DSL Table 2: every backbone, dense and with DSL.

python -m dsl_tf.study --config=configs/studies/table2.py:quick
python -m dsl_tf.study --config=configs/studies/table2.py --dry_run
"""

from dsl_tf.configs.studies import base
from dsl_tf.studies.plan import Study
from dsl_tf.studies.tables import (
    HIT,
    INFERENCE_MACS,
    MACS_SHARE,
    NDCG,
    PUBLISHED_INFERENCE,
    PUBLISHED_SHARE,
    PUBLISHED_TRAINING,
    RECALL,
    TRAINING_MACS,
    Table,
)

_VALUES = (
    *(TRAINING_MACS, MACS_SHARE, INFERENCE_MACS),
    *(PUBLISHED_TRAINING, PUBLISHED_SHARE, PUBLISHED_INFERENCE),
    *(RECALL, HIT, NDCG),
)
_SMALL = ("ml-1m", "citeulike", "foursquare")
_LARGE = ("amazon-book", "yelp2018", "gowalla")
_LAYERS, _WIDTH = "model.num_layers", "model.embedding_dim"


def get_config(size: str = "full") -> Study:
    """The study in a size: `quick` or `full`."""
    both = ({"method.name": "dense"}, {"method.name": "dsl", "sparsity.target": 0.5})
    if size == "quick":
        names = ("neumf", "cdae", "multvae", "lightgcn", "ultragcn")
        files = ("configs/convncf.py:demo", *base.files(names, base.QUICK_DATA))
        return _study(
            [{"config": files, **each} for each in both],
            {},
            Table(
                "table2",
                "Dense and at half the weights.",
                rows=("backbone", "data", "method"),
                values=_VALUES,
            ),
        )
    small = base.files(("neumf", "convncf", "multvae", "cdae"), _SMALL)
    light = base.files(("lightgcn",), _LARGE)
    ultra = base.files(("ultragcn",), _LARGE)
    return _study(
        [
            *({"config": small, **each} for each in both),
            *({"config": light, _LAYERS: (3, 4), **each} for each in both),
            *({"config": ultra, _WIDTH: (64, 128), **each} for each in both),
        ],
        {"train.refit": True},
        Table(
            "table2_small",
            "Dense and at half the weights. Inference is of all items here, of 100 for "
            "NeuMF and ConvNCF in the paper; which formula its autoencoders have is "
            "not known.",
            rows=("backbone", "data", "method"),
            values=_VALUES,
            where={"data": _SMALL},
            paper=_paper(base.TABLE_2),
        ),
        Table(
            "table2_lightgcn",
            "LightGCN by layers, dense and at half the weights; the paper's numbers on "
            "Amazon-Book fit three fifths pruned.",
            rows=("data", _LAYERS, "method"),
            values=_VALUES,
            where={"backbone": "lightgcn"},
            paper=_paper(base.TABLE_2_LIGHTGCN),
        ),
        Table(
            "table2_ultragcn",
            "UltraGCN by width, dense and at half the weights.",
            rows=("data", _WIDTH, "method"),
            values=_VALUES,
            where={"backbone": "ultragcn"},
            paper=_paper(base.TABLE_2_ULTRAGCN),
        ),
    )


def _paper(table: base.Published) -> base.Published:
    return base.with_shares(table, lambda row: (*row[:-1], base.DENSE))


def _study(grid: list[dict], keys: dict, *tables: Table) -> Study:
    return Study(
        title="Every backbone, dense and with DSL (DSL Table 2)",
        question=(
            "Is DSL as good as the dense model whatever the backbone, and how much "
            "less does it compute? Multiply-accumulates are those of all training "
            "steps, forward, backward and optimiser, and of one user against all "
            "items. As the "
            "paper counts, they are of the formulas that its numbers fit "
            "(dsl_tf.accounting.published): forward only, all users at once, and for "
            "its thousand epochs, which no run here has: compare the shares of dense."
        ),
        grid=grid,
        keys={**base.NO_FILES, **keys},
        exhibits=tables,
    )
