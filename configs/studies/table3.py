"""DSL Table 3: all methods at equal sparsity, every pass counted.

python -m dsl_tf.study --config=configs/studies/table3.py:quick
python -m dsl_tf.study --config=configs/studies/table3.py --dry_run
"""

from dsl_tf.configs.studies import base
from dsl_tf.studies.plan import Study
from dsl_tf.studies.tables import (
    MEMORY,
    NDCG,
    PUBLISHED_SHARE,
    PUBLISHED_TRAINING,
    RECALL,
    SECONDS,
    STATE,
    STATE_SHARE,
    TRAINING_MACS,
    Table,
)

_VALUES = (
    *(TRAINING_MACS, PUBLISHED_TRAINING, PUBLISHED_SHARE),
    *(SECONDS, STATE, STATE_SHARE, MEMORY, RECALL, NDCG),
)
_WHOLE = ("dense", "quantised", "autoemb")
#: No width, and no number drawn at random. EASE inverts a matrix of all items, which
#: takes hours and 20 GB for the larger data.
_COUNTED = ("popularity", "item_knn")
_SOLVED = (*_COUNTED, "ease")
_PRUNED = (
    *("rkd", "tkd", "esapn", "random_pruning", "gradual_magnitude"),
    *("magnitude_pruning", "without_rewinding", "pep", "lottery_ticket"),
    *("mag_prune", "set", "rigl", "small_dim", "qr_hashing", "sparserec"),
    *("dsl_plus", "dsl"),
)
#: What a caption says of methods whose tables are small, but without zeros.
_BY_BYTES = (
    "Of rkd, tkd, small_dim, qr_hashing and esapn the sparsity is the share of the "
    "weights that the tables do not have; none of theirs is zero."
)
_ROUNDS = ("lottery_ticket", "without_rewinding")
_WIDTH = "model.embedding_dim"


def get_config(size: str = "full") -> Study:
    """The study in a size: `quick` or `full`."""
    if size == "quick":
        # Half of what is left in each round: three rounds instead of sixteen.
        rounds = {f"method.{name}.share": 0.5 for name in _ROUNDS}
        files = base.files(("mf",), base.QUICK_DATA)
        grid = [block for file in files for block in _blocks(file, (0.8,))]
        tables = [
            _table(name, f"MF on {name}", {"data": name}) for name in base.QUICK_DATA
        ]
        return _study(grid, (0,), base.FEW_VALIDATIONS | rounds, *tables)
    grid = [
        *_blocks("configs/mf.py:ml-1m", (0.5, 0.8, 0.9)),
        *_blocks("configs/neumf.py:ml-1m", (0.5, 0.8, 0.9)),
        *_blocks("configs/lightgcn.py:yelp2018", (0.5,), (64, 128)),
        *_blocks("configs/lightgcn.py:gowalla", (0.5,), (64,)),
    ]
    shares = base.with_shares(base.TABLE_3, lambda row: (base.DENSE, row[1]))
    # Megabytes of what is not said, so they stand there as shares only.
    paper = {
        row: {name: each for name, each in numbers.items() if name != STATE.column}
        for row, numbers in shares.items()
    }
    tables = [
        Table(
            "table3_yelp2018",
            "LightGCN on Yelp2018 at half the weights, as in the paper. Its "
            "multiply-accumulates are of a thousand epochs: compare the shares of "
            "dense. What its memory is of, it does not say, so its shares stand beside "
            f"those of our state, of weights, masks and optimiser. {_BY_BYTES}",
            rows=("method",),
            columns=(_WIDTH,),
            values=_VALUES,
            where={"data": "yelp2018"},
            paper=paper,
        ),
        _table("gowalla", "LightGCN on Gowalla", {"data": "gowalla"}),
        *(
            _table(name, f"{text} on MovieLens-1M", {"data": "ml-1m", "backbone": name})
            for name, text in (("mf", "MF"), ("neumf", "NeuMF"))
        ),
    ]
    return _study(grid, (0, 1, 2, 3, 4), {}, *tables)


def _blocks(
    file: str, sparsities: tuple[float, ...], widths: tuple[int, ...] = ()
) -> list[dict]:
    axes, first = ({_WIDTH: widths}, {_WIDTH: widths[0]}) if widths else ({}, {})
    solved = _COUNTED if widths else _SOLVED
    return [
        {"config": file, "method.name": _WHOLE, **axes},
        {"config": file, "method.name": solved, **first, "seed": 0},
        {
            "config": file,
            "method.name": _PRUNED,
            "sparsity.target": sparsities,
            **axes,
        },
    ]


def _table(name: str, of: str, where: dict) -> Table:
    return Table(
        f"table3_{name}",
        f"{of}: all methods by sparsity; every pass is in their costs. {_BY_BYTES}",
        rows=("method", "sparsity"),
        values=_VALUES,
        where=where,
    )


def _study(
    grid: list[dict], seeds: tuple[int, ...], keys: dict, *tables: Table
) -> Study:
    return Study(
        title="All methods, every pass counted (DSL Table 3)",
        question=(
            "What does each way to a small model cost to train, and what is it worth? "
            "Teachers, searches, rounds and controllers are in the seconds, the memory "
            "and the multiply-accumulates of the method that needs them."
        ),
        grid=grid,
        seeds=seeds,
        keys={**base.NO_FILES, **keys},
        exhibits=tables,
    )
