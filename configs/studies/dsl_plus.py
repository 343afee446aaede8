"""What makes DSL better where few weights are left: an ablation.

python -m dsl_tf.study --config=configs/studies/dsl_plus.py:quick
python -m dsl_tf.study --config=configs/studies/dsl_plus.py
"""

from dsl_tf.configs.studies import base
from dsl_tf.studies.curves import Lines
from dsl_tf.studies.plan import Study
from dsl_tf.studies.tables import SECONDS, Table, Value

_POWER = "method.dsl_plus.popularity_power"
_COLUMNS = "method.dsl_plus.columns"
_NMF, _ROWS = "method.sparserec.nmf", "method.sparserec.sampled_rows"
_VALIDATION = Value("valid_recall@20", "validation Recall@20")


def get_config(size: str = "full") -> Study:
    """The study in a size: `quick` or `full`."""
    quick = size == "quick"
    if quick:
        files = base.files(("mf",), base.QUICK_DATA)
        grid = _blocks(files, (0.9,), (0.0, 0.5, 1.0))
    else:
        grid = [
            *_blocks(
                ("configs/mf.py:ml-1m",), (0.8, 0.9, 0.95), (0.0, 0.25, 0.5, 0.75)
            ),
            *_blocks(("configs/lightgcn.py:gowalla",), (0.9,), (0.0, 0.5)),
        ]
    return Study(
        title="DSL where few weights are left",
        question=(
            "What helps when nine of ten weights are pruned, or more? DSL as in the "
            "paper; growth by the gradients of whole intervals (SparseRec without a "
            "factorisation); first masks of a factorisation (dsl_plus: factors), or in "
            "proportion to a power of each row's interactions, at nested or random "
            "columns. Chosen by the validation column."
        ),
        grid=grid,
        keys={**base.NO_FILES, **(base.FEW_VALIDATIONS if quick else {})},
        exhibits=(
            Lines(
                "recall",
                "Recall@20 over sparsity; dashed: dense.",
                x="sparsity",
                y="recall@20",
                by=("method", _POWER, _COLUMNS, _NMF),
                panels="data",
                where={"method": ("dsl", "random_pruning", "dsl_plus", "sparserec")},
                levels={"method": "dense"},
            ),
            Table(
                "dsl_plus",
                "By method, setting and sparsity.",
                rows=("data", "method", _POWER, _COLUMNS, _NMF, "sparsity"),
                values=(_VALIDATION, Value("recall@20", "Recall@20"), SECONDS),
            ),
        ),
    )


def _blocks(
    files: tuple[str, ...], sparsities: tuple[float, ...], powers: tuple[float, ...]
) -> list[dict]:
    sparse = {"config": files, "sparsity.target": sparsities}
    columns = {_COLUMNS: ("nested", "random")}
    return [
        {"config": files, "method.name": "dense"},
        {**sparse, "method.name": ("dsl", "random_pruning")},
        {**sparse, "method.name": "dsl_plus", _COLUMNS: "factors"},
        {**sparse, "method.name": "dsl_plus", _POWER: powers, **columns},
        {**sparse, "method.name": "sparserec", _NMF: False, _ROWS: 1.0},
    ]
