"""Quality against the bytes of the file on the phone, and against training seconds.

python -m dsl_tf.study --config=configs/studies/pareto.py:quick
python -m dsl_tf.study --config=configs/studies/pareto.py
"""

from dsl_tf.configs.studies import base
from dsl_tf.studies.curves import Scatter
from dsl_tf.studies.figures import Pareto
from dsl_tf.studies.plan import Study
from dsl_tf.studies.tables import RECALL, SECONDS, Table

_WHOLE = ("dense", "quantised", "autoemb")
_SPARSE = ("dsl", "dsl_plus", "sparserec", "small_dim", "mag_prune", "qr_hashing")
_OTHERS = (
    *("random_pruning", "gradual_magnitude", "magnitude_pruning", "set", "rigl"),
    *("without_rewinding", "lottery_ticket", "pep", "rkd", "tkd", "esapn"),
)


def get_config(size: str = "full") -> Study:
    """The study in a size: `quick` or `full`."""
    quick = size == "quick"
    file = f"configs/mf.py:{'demo' if quick else 'ml-1m'}"
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
        ),
        seeds=(0,) if quick else (0, 1, 2),
        keys={
            "export.formats": formats,
            "export.evaluate": True,
            **(base.FEW_EPOCHS if quick else {}),
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
                "trained",
                "Recall@20 of what was trained, and what that took.",
                rows=("method", "sparsity"),
                values=(RECALL, SECONDS),
            ),
        ),
    )
