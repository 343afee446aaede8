"""Quality against the bytes of the file on the phone, and against training seconds.

python -m dsl_tf.study --config=configs/studies/pareto.py:quick
python -m dsl_tf.study --config=configs/studies/pareto.py
"""

from dsl_tf.configs.studies import base
from dsl_tf.reports import tables as texts
from dsl_tf.studies.curves import Scatter
from dsl_tf.studies.figures import Pareto
from dsl_tf.studies.plan import Study
from dsl_tf.studies.tables import RECALL, SECONDS, Table, Value

_WHOLE = ("dense", "quantised", "autoemb")
_SPARSE = ("dsl", "dsl_plus", "sparserec", "small_dim", "mag_prune", "qr_hashing")
#: Held to bytes by narrower rows; and by fewer weights in rows of some width.
_NARROW = ("small_dim", "dsl_plus")
_FEWER = ("dsl", "dsl_plus", "sparserec", "mag_prune")
_OTHERS = (
    *("random_pruning", "gradual_magnitude", "magnitude_pruning", "set", "rigl"),
    *("without_rewinding", "lottery_ticket", "pep", "rkd", "tkd", "esapn"),
)

_WIDTH, _BYTES = "model.embedding_dim", "budget.bytes"
_DENSITY = "budget.least_density"

#: Rows of the tables, users and items.
_ROWS = {"ml-1m": 6_040 + 3_706, "demo": 2_000 + 1_500}

#: Shares of the bytes of dense tables in float32 that tables may take, two bytes a row
#: for a scale beside them. int8 takes the first, int4 the second.
_SHARES = (1 / 4, 1 / 8, 1 / 16, 1 / 32)

#: Bytes of what else is in a file with dense tables, and 25 kB to spare; packed ones
#: take some 15 kB more of operations.
_GRAPH = 64_000


def get_config(size: str = "full") -> Study:
    """The study in a size: `quick` or `full`."""
    quick = size == "quick"
    data = "demo" if quick else "ml-1m"
    file = f"configs/mf.py:{data}"
    shares = _SHARES[2:3] if quick else _SHARES
    rows = _ROWS[data]
    budgets = tuple(int(rows * (share * 64 * 4 + 2)) + _GRAPH for share in shares)
    # 64 columns of four bits take an eighth: nothing has to go there.
    whole = tuple(b for b, share in zip(budgets, shares, strict=True) if share >= 1 / 8)
    few = tuple(each for each in budgets if each not in whole)
    fewer = {64: few} if quick else {64: few, 256: budgets}
    sparsities = (0.8, 0.9) if quick else (0.5, 0.8, 0.9, 0.95)
    methods = _SPARSE if quick else _SPARSE + _OTHERS
    formats = ("tflite", "tflite_fp16", "tflite_int8", "tflite_int4")
    return Study(
        title="Quality against bytes and seconds",
        question=(
            "A phone has room for so many bytes: which method makes the most of them? "
            "Each point is one .tflite file, whose rankings are measured with its own "
            "numbers; the grey steps are the best that there is for so many bytes."
        ),
        grid=(
            {"config": file, "method.name": "dense" if quick else _WHOLE},
            {"config": file, "method.name": methods, "sparsity.target": sparsities},
            {"config": file, "method.name": _NARROW, _BYTES: budgets},
            *({"config": file, "method.name": "quantised", _BYTES: b} for b in whole),
            *(
                {
                    "config": file,
                    "method.name": _FEWER,
                    _WIDTH: width,
                    _BYTES: bytes_,
                    _DENSITY: 1 / 64,
                }
                for width, bytes_ in fewer.items()
            ),
        ),
        seeds=(0,) if quick else (0, 1, 2),
        keys={
            "export.formats": formats,
            "export.evaluate": True,
            **(base.FEW_VALIDATIONS if quick else {}),
        },
        exhibits=(
            Pareto("pareto", "Recall@20 against the bytes of each file.", "recall@20"),
            Scatter(
                "seconds",
                "Recall@20 against seconds of training, every pass counted.",
                x="cost.training.seconds",
                y="recall@20",
            ),
            Table(
                "budgets",
                "Recall@20 of files of at most so many bytes.",
                rows=("method", _WIDTH, _DENSITY, _BYTES),
                values=(
                    Value("file_recall@20", "Recall@20 of the file"),
                    Value("cost.budget.got", "bytes", texts.size),
                    Value("cost.sparsity", "sparsity", "{:.2f}".format),
                    Value("valid_recall@20", "validation, before it is rounded"),
                ),
                where={_BYTES: budgets},
            ),
            Table(
                "trained",
                "Recall@20 of what was trained, and what that took.",
                rows=("method", "sparsity"),
                values=(RECALL, SECONDS),
                where={"sparsity": (0.0, *sparsities)},
            ),
        ),
    )
