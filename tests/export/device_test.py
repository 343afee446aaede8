"""Files as an app uses them: the calls of docs/android.md, and their memory."""

import dataclasses
import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse

from dsl_tf.export.device import DeviceModule
from dsl_tf.export.frozen import freeze
from dsl_tf.export.packed import BitmapTable
from dsl_tf.export.tflite import convert, run

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "android.md"
K, WIDTH = 20, 64

#: Kotlin of an input to the array that LiteRT makes of it.
INPUTS = {
    "intArrayOf(user)": np.array([3], np.int32),
    "intArrayOf(item)": np.array([7], np.int32),
    "arrayOf(seen)": np.array([[4, 8, 15]], np.int32),
    "arrayOf(history)": np.array([[4, 8, 15]], np.int32),
    "arrayOf(vector)": np.ones([1, WIDTH], np.float32),
}
#: Kotlin of an output to the shape and dtype it has room for.
OUTPUTS = {
    "arrayOf(IntArray(k))": ((1, K), np.int32),
    "arrayOf(FloatArray(k))": ((1, K), np.float32),
    "arrayOf(FloatArray(width))": ((1, WIDTH), np.float32),
    "FloatArray(1)": ((1,), np.float32),
}
PAIR = re.compile(r'"(\w+)" to ((?:\w+\()+\w+\)+)')
CALL = re.compile(
    r"val inputs = mapOf\((.+?)\)\n\s+val outputs = mapOf\((.+?)\)\n"
    r'\s+interpreter\.runSignature\(inputs, outputs, "(\w+)"\)',
    re.DOTALL,
)
CALLS = {
    signature: (dict(PAIR.findall(inputs)), dict(PAIR.findall(outputs)))
    for inputs, outputs, signature in CALL.findall(PAGE.read_text(encoding="utf-8"))
}

#: Opens argv[1], calls both signatures; prints the growth of memory that the
#: system cannot drop, in bytes, after opening and after the calls.
APP = """
import json, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

def anonymous():
    lines = open("/proc/self/status").read().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return 1024 * int(status["RssAnon"].split()[0])

before = anonymous()
interpreter = Interpreter(
    model_path=sys.argv[1],
    num_threads=1,
    experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
)
interpreter.allocate_tensors()
opened = anonymous()
item_vector = interpreter.get_signature_runner("item_vector")
recommend = interpreter.get_signature_runner("recommend_vector")
for item in range(20):
    vector = item_vector(item_id=np.array([item], np.int32))["vector"].copy()
    recommend(user_vector=vector, seen=np.array([[item]], np.int32))
print(json.dumps([opened - before, anonymous() - before]))
"""


def call(path, signature):
    inputs, outputs = CALLS[signature]
    answer = run(path, signature, **{name: INPUTS[inputs[name]] for name in inputs})
    assert set(answer) == set(outputs)
    for name, room in outputs.items():
        assert (answer[name].shape, answer[name].dtype) == OUTPUTS[room]
    return answer


OF_HISTORIES = {"from_history"}


@pytest.mark.parametrize("signature", sorted(CALLS.keys() - OF_HISTORIES))
def test_every_call_runs_as_it_is_written(run_folder, exported, signature):
    call(run_folder / "model_int8.tflite", signature)


@pytest.mark.parametrize("signature", sorted(CALLS.keys() & OF_HISTORIES))
def test_autoencoders_have_calls_of_their_own(vae_folder, vae_exported, signature):
    call(vae_folder / "model_int8.tflite", signature)


def test_every_signature_is_there_and_called_once():
    names = {"recommend", "recommend_vector", "score", "item_vector"} | OF_HISTORIES
    assert set(CALLS) == names
    assert PAGE.read_text(encoding="utf-8").count("runSignature") == len(names)


def test_a_list_of_nothing_is_minus_one(run_folder, exported):
    """Java's arrays must not be empty."""
    path = run_folder / "model.tflite"
    user = np.array([3], np.int32)
    answers = [
        run(path, "recommend", user_id=user, seen=np.array([seen], np.int32))
        for seen in ([], [-1])
    ]
    np.testing.assert_array_equal(*(answer["item_ids"] for answer in answers))


def test_a_mean_of_liked_items_ranks_by_its_products(dot_product, run_folder, exported):
    path = run_folder / "model.tflite"
    liked = [
        run(path, "item_vector", item_id=np.array([item], np.int32))["vector"]
        for item in (11, 12)
    ]
    vector, items = np.mean(liked, axis=0), dot_product.tables()[1]
    seen = np.array([[11, 12]], np.int32)
    answer = run(path, "recommend_vector", user_vector=vector, seen=seen)
    scores = (items[11] + items[12]) / 2 @ items.T
    np.testing.assert_array_equal(
        answer["item_ids"][0], dot_product.ranking(scores, [11, 12], K)[0]
    )


def test_wide_tables_are_scored_fewer_rows_at_a_time(dot_product):
    """By so many weights, which bounds memory and rounding."""
    frozen = freeze(dot_product.backbone, dot_product.split)
    items = scipy.sparse.hstack([frozen.items] * 10, format="csr")
    wide = dataclasses.replace(frozen, items=items)
    blocks = {}
    for name, model in (("usual", frozen), ("wide", wide)):
        module = DeviceModule(model, "int8", K, with_users=False)
        assert isinstance(module.items, BitmapTable)
        blocks[name] = module.block
    assert blocks == {"usual": 650, "wide": 69}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("coding", "layout"), [("float16", "small"), ("int8", "fast")])
def test_no_table_is_decoded(many_items, tmp_path, coding, layout):
    frozen = freeze(many_items.backbone, many_items.split)
    module = DeviceModule(frozen, coding, 20, layout, with_users=False)
    path = convert(module, tmp_path / "model.tflite")
    decoded = 4 * np.prod(frozen.items.shape)
    assert path.stat().st_size < decoded / 6
    worker = [sys.executable, "-c", APP, str(path)]
    output = subprocess.run(worker, check=True, capture_output=True).stdout
    opened, used = json.loads(output)
    assert opened < 1e6  # the file is mapped
    assert used < 6e6 < decoded / 2
