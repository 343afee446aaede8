"""Bytes, memory and latency of exported tables, dense and packed.

One table of item vectors, one `.tflite` file with the look-up of a row
(`item_vector`) and the top 20 of all items (`recommend_vector`, no item seen).
Each file is opened by its path in a fresh process on one thread, without
delegates. Memory is the growth over that process before it opens the file:
`anonymous` cannot be dropped by the system, `peak` counts mapped pages of the
file, and libraries. The best call counts, as other work on the machine only ever
makes one slower. `converter` is the usual way: a dense table, scored by one
product, quantised by the converter. Ratios are to the dense float32 table of the
same run.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dsl_tf  # noqa: F401  (first: it selects the Keras)

# isort: split
import numpy as np
import scipy.sparse
import tensorflow as tf

from benchmarks import Row, main
from dsl_tf.evaluation.ties import TieOrder
from dsl_tf.export import saved_model, tflite
from dsl_tf.export.console import quiet_tensorflow
from dsl_tf.export.device import DeviceModule
from dsl_tf.export.frozen import FrozenModel

ITEMS, QUICK_ITEMS, WIDTH, K = 100_000, 20_000, 64, 20
SPARSITIES, QUICK_SPARSITIES = (0.5, 0.8, 0.9), (0.8,)
OPTIMIZATIONS = {"float32": None, "float16": [tf.float16], "int8": []}

#: What is measured, in the order of the worker's answer: name, unit.
MEASURES = (
    ("file", "MB"),
    ("anonymous, loaded", "MB"),
    ("anonymous, after use", "MB"),
    ("peak, loaded", "MB"),
    ("peak, after use", "MB"),
    ("look-up", "µs"),
    ("top 20", "ms"),
)

#: Measures the file argv[1] with vectors of argv[2] columns. It imports nothing
#: of the package, so that its memory is that of an app.
WORKER = """
import json, os, sys, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

def memory():
    lines = open("/proc/self/status").read().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return [int(status[key].split()[0]) / 1e3 for key in ("RssAnon", "VmHWM")]

def best(call, times):
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)

path, width = sys.argv[1], int(sys.argv[2])
vector = np.random.default_rng(1).normal(size=(1, width)).astype(np.float32)
before = memory()
interpreter = Interpreter(
    model_path=path,
    num_threads=1,
    experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
)
interpreter.allocate_tensors()
loaded = memory()
row = interpreter.get_signature_runner("item_vector")
top = interpreter.get_signature_runner("recommend_vector")
item, seen = np.array([17], np.int32), np.array([[-1]], np.int32)
look_up = best(lambda: row(item_id=item), 500)
ranking = best(lambda: top(user_vector=vector, seen=seen), 50)
used = memory()
megabytes = [after[i] - before[i] for i in (0, 1) for after in (loaded, used)]
measured = [os.path.getsize(path) / 1e6, *megabytes, 1e6 * look_up, 1e3 * ranking]
print(json.dumps(measured))
"""


def inner_product(users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    return tf.matmul(users, items, transpose_b=True)


def frozen(num_items: int, sparsity: float) -> FrozenModel:
    """Normal weights, as many zeros as asked for, at random positions."""
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 0.1, size=(num_items, WIDTH)).astype(np.float32)
    weights[rng.random(weights.shape) < sparsity] = 0
    table = scipy.sparse.csr_matrix(weights)
    nobody = np.zeros(0, np.int32)
    return FrozenModel(
        users=table[:1],
        items=table,
        order=TieOrder(num_items, 0),
        popularity=rng.integers(0, 3000, num_items),
        history_offsets=nobody,
        history=nobody,
        interaction=inner_product,
        queries=tf.identity,
        network=(),
    )


def usual(model: FrozenModel, coding: str, path: Path) -> None:
    """What one writes without this package: gather, product, top-k."""
    module = tf.Module()
    module.items = tf.Variable(model.items.toarray(), trainable=False)

    def recommend_vector(user_vector: tf.Tensor, seen: tf.Tensor) -> dict:
        # `seen` is read, or the converter would drop it.
        scores = inner_product(user_vector, module.items)
        scores += 0.0 * tf.cast(tf.reduce_sum(seen), tf.float32)
        scores, item_ids = tf.math.top_k(scores, K)
        return {"item_ids": item_ids, "scores": scores}

    def item_vector(item_id: tf.Tensor) -> dict:
        return {"vector": tf.gather(module.items, item_id)}

    signatures = {
        "recommend_vector": tf.function(recommend_vector).get_concrete_function(
            tf.TensorSpec([1, WIDTH], tf.float32, name="user_vector"),
            tf.TensorSpec([1, None], tf.int32, name="seen"),
        ),
        "item_vector": tf.function(item_vector).get_concrete_function(
            tf.TensorSpec([1], tf.int32, name="item_id")
        ),
    }
    with tempfile.TemporaryDirectory() as folder, quiet_tensorflow():
        saved_model.write_signatures(module, signatures, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=list(signatures)
        )
        types = OPTIMIZATIONS[coding]
        if types is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = types
        path.write_bytes(converter.convert())


def measured(path: Path) -> list[float]:
    """The numbers of `MEASURES`, taken in a process of their own."""
    answer = subprocess.run(
        [sys.executable, "-c", WORKER, str(path), str(WIDTH)],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(answer.stdout)


def measure(quick: bool) -> Iterator[Row]:
    num_items = QUICK_ITEMS if quick else ITEMS
    sparsities = QUICK_SPARSITIES if quick else SPARSITIES
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        compared: list[float] | None = None
        for sparsity in (0.0, *sparsities):
            model = frozen(num_items, sparsity)
            setting = f"{num_items:,} x {WIDTH} s={sparsity}"
            # A table without zeros comes out dense in either layout.
            layouts = ("small", "fast") if sparsity else ("dense",)
            for layout in layouts:
                for coding in tflite.FILES.values():
                    stored = "small" if layout == "dense" else layout
                    device = DeviceModule(model, coding, K, stored, with_users=False)
                    tflite.convert(device, path)
                    numbers = measured(path)
                    compared = compared or numbers
                    yield from rows(f"{layout} {coding}", setting, numbers, compared)
            if not sparsity:
                for coding in OPTIMIZATIONS:
                    usual(model, coding, path)
                    name = f"converter {coding}"
                    yield from rows(name, setting, measured(path), compared)


def rows(
    name: str, setting: str, numbers: list[float], compared: list[float]
) -> Iterator[Row]:
    """A file's rows; the ratio is how many times less than that of `compared`."""
    for (what, unit), value, base in zip(MEASURES, numbers, compared, strict=True):
        ratio = None if numbers is compared else base / max(value, 1e-9)
        yield Row(name, f"{setting} {what}", value, unit, ratio)


if __name__ == "__main__":
    main(measure, "Bytes, memory and latency of exported tables.")
