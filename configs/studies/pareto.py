"""Quality against the bytes of the file on the phone, and against training seconds.

python -m dsl_tf.study --config=configs/studies/pareto.py:quick
python -m dsl_tf.study --config=configs/studies/pareto.py
"""

from dsl_tf.configs.studies import base
from dsl_tf.reports import tables as texts
from dsl_tf.studies.curves import Scatter
from dsl_tf.studies.figures import Pareto
from dsl_tf.studies.plan import Exhibit, Study
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
_ROWS = {"ml-1m": 6_040 + 3_706, "demo": 2_000 + 1_500, "ml-100k": 943 + 1_682}

#: Shares of the bytes of dense tables in float32 that tables may take, two bytes a row
#: for a scale beside them. int8 takes the first, int4 the second.
_SHARES = (1 / 4, 1 / 8, 1 / 16, 1 / 32)

#: Bytes of what else is in a file with dense tables, and 25 kB to spare; packed ones
#: take some 15 kB more of operations.
_GRAPH = 64_000

#: The smallest budget is this share of a file of dense float32 tables, whose operations
#: take about so many bytes. Rows of 64 columns do not fit, whatever they leave out.
_LEAST, _OPERATIONS = 1 / 32, 27_000


def get_config(size: str = "full") -> Study:
    """The study in a size: `quick` or `full`."""
    quick = size == "quick"
    names = base.QUICK_DATA if quick else ("ml-1m",)
    formats = ("tflite", "tflite_fp16", "tflite_int8", "tflite_int4")
    return Study(
        title="Quality against bytes and seconds",
        question=(
            "A phone has room for so many bytes: which method makes the most of them? "
            "Each point is one .tflite file, whose rankings are measured with its own "
            "numbers; the grey steps are the best that there is for so many bytes."
        ),
        grid=[block for name in names for block in _blocks(name, quick)],
        seeds=(0,) if quick else (0, 1, 2),
        keys={
            "export.formats": formats,
            "export.evaluate": True,
            **(base.FEW_VALIDATIONS if quick else {}),
        },
        exhibits=[
            exhibit for name in names for exhibit in _exhibits(name, _bytes(name))
        ],
    )


def _budgets(data: str) -> dict[float, int]:
    """Bytes of a file, by the share of dense float32 tables that its own may take."""
    return {s: int(_ROWS[data] * (s * 64 * 4 + 2)) + _GRAPH for s in _SHARES}


def _least(data: str) -> int:
    return int(_LEAST * (_ROWS[data] * 64 * 4 + _OPERATIONS))


def _blocks(data: str, quick: bool) -> list[dict]:
    file = {"config": f"configs/mf.py:{data}"}
    budgets = _budgets(data)
    if quick:
        budgets = {share: budgets[share] for share in _SHARES[2:3]}
    every = tuple(budgets.values())
    narrow = every if quick else (*every, _least(data))
    # 64 columns of four bits take an eighth: nothing has to go there.
    few = tuple(each for share, each in budgets.items() if share < 1 / 8)
    fewer = {64: few} if quick else {64: few, 256: every}
    return [
        {**file, "method.name": "dense" if quick else _WHOLE},
        {
            **file,
            "method.name": _SPARSE if quick else _SPARSE + _OTHERS,
            "sparsity.target": (0.8, 0.9) if quick else (0.5, 0.8, 0.9, 0.95),
        },
        {**file, "method.name": _NARROW, _BYTES: narrow},
        *(
            {**file, "method.name": "quantised", _BYTES: each}
            for each in every
            if each not in few
        ),
        *(
            {
                **file,
                "method.name": _FEWER,
                _WIDTH: width,
                _BYTES: bytes_,
                _DENSITY: 1 / 64,
            }
            for width, bytes_ in fewer.items()
        ),
    ]


def _bytes(data: str) -> tuple[int, ...]:
    return (*_budgets(data).values(), _least(data))


def _exhibits(data: str, budgets: tuple[int, ...]) -> list[Exhibit]:
    where = {"data": data}
    return [
        Pareto(
            f"pareto_{data}",
            f"MF on {data}: Recall@20 against the bytes of each file.",
            "recall@20",
            where,
        ),
        Scatter(
            f"seconds_{data}",
            f"MF on {data}: Recall@20 against seconds of training, every pass counted.",
            x="cost.training.seconds",
            y="recall@20",
            where=where,
        ),
        Table(
            f"budgets_{data}",
            f"MF on {data}: Recall@20 of files of at most so many bytes.",
            rows=("method", _WIDTH, _DENSITY, _BYTES),
            values=(
                Value("file_recall@20", "Recall@20 of the file"),
                Value("cost.budget.got", "of the file", texts.size),
                Value("cost.sparsity", "sparsity", "{:.2f}".format),
                Value("valid_recall@20", "validation of what was trained"),
            ),
            where=where | {_BYTES: budgets},
        ),
        Table(
            f"trained_{data}",
            f"MF on {data}: Recall@20 of what was trained, and what that took.",
            rows=("method", "sparsity"),
            values=(RECALL, SECONDS),
            where=where | {"sparsity": (0.0, 0.5, 0.8, 0.9, 0.95)},
        ),
    ]
