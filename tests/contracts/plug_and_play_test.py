"""Any Keras model: swap a layer, add a callback to a plain `fit`. That is all."""

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tf_keras as keras
from ai_edge_litert.interpreter import Interpreter

import dsl_tf

VOCABULARY, LENGTH = 300, 12
#: A twentieth of the words decide a text's class.
TELLING = 15


@pytest.fixture(scope="module")
def texts():
    """Words with a long tail; the class is that of the telling words."""
    rng = np.random.default_rng(0)
    words = (VOCABULARY * rng.random((1600, LENGTH)) ** 2).astype(np.int32)
    sign = np.zeros(VOCABULARY)
    sign[rng.permutation(VOCABULARY)[: 2 * TELLING]] = [1] * TELLING + [-1] * TELLING
    score = sign[words].sum(axis=1)
    keep = score != 0
    return words[keep], (score[keep] > 0).astype(np.float32)


def classify(texts, embedding, *callbacks):
    """Train a text classifier; its accuracy on texts it has not seen."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            embedding,
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"]
    )
    words, classes = texts
    held_out = len(words) // 4
    model.fit(
        words[held_out:],
        classes[held_out:],
        epochs=8,
        verbose=0,
        validation_data=(words[:held_out], classes[:held_out]),
        callbacks=list(callbacks),
    )
    return model.evaluate(words[:held_out], classes[:held_out], verbose=0)[1]


def test_a_text_classifier(texts):
    dense = classify(texts, keras.layers.Embedding(VOCABULARY, 16))
    layer = dsl_tf.SparseEmbedding(VOCABULARY, 16, sparsity=0.9)
    dynamic = dsl_tf.DynamicSparseTraining(update_interval=10)
    sparse = classify(texts, layer, dynamic)
    weight = layer.embeddings
    assert dense > 0.85
    assert sparse > dense - 0.05
    assert weight.mask().sum() == weight.nnz == 480
    assert len(dynamic.records) > 5
    assert sum(record.done for record in dynamic.records) > weight.nnz / 2


def test_a_functional_model_with_sparse_dense_layers(rng):
    inputs = keras.Input([20])
    hidden = dsl_tf.SparseDense(32, sparsity=0.8, activation="relu")(inputs)
    hidden = dsl_tf.SparseDense(32, sparsity=0.8, activation="relu")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    model.compile("adam", "mse")
    x = rng.normal(size=(512, 20)).astype(np.float32)
    dynamic = dsl_tf.DynamicSparseTraining(0.3, 8)
    history = model.fit(
        x, x[:, :1] * x[:, 1:2], epochs=3, verbose=0, callbacks=[dynamic]
    )
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert [layer.kernel.mask().sum() for layer in model.layers[1:3]] == [128, 205]


def test_public_names_come_without_tensorflow():
    program = (
        "import sys, dsl_tf; dir(dsl_tf); dsl_tf.UserError; dsl_tf.__version__;"
        "assert 'tensorflow' not in sys.modules and 'tf_keras' not in sys.modules;"
        "from dsl_tf import *; assert SparseEmbedding and 'tensorflow' in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)


def test_every_public_name_is_there():
    for name in dsl_tf.__all__:
        assert getattr(dsl_tf, name) is not None
        assert name in dir(dsl_tf)


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="'dsl_tf' has no attribute 'Embedding'"):
        dsl_tf.Embedding  # noqa: B018


@pytest.mark.slow
def test_the_snippets_of_the_readme(tmp_path, monkeypatch):
    """One after the other, as a reader does; a phone gets what the model learnt."""
    readme = pathlib.Path(__file__).parents[2] / "README.md"
    part = readme.read_text("utf-8").partition("## Plug and play\n")[2]
    blocks = re.findall(r"```python\n(.*?)```", part.partition("\n## ")[0], re.S)
    assert len(blocks) == 2
    monkeypatch.chdir(tmp_path)
    told = {}
    for block in blocks:
        exec(block, told)
    document = told["words"][:1]
    device = Interpreter(model_content=told["converted"])
    (given,), (answered,) = device.get_input_details(), device.get_output_details()
    device.resize_tensor_input(given["index"], document.shape)
    device.allocate_tensors()
    device.set_tensor(given["index"], document.astype(given["dtype"]))
    device.invoke()
    expected = told["model"].predict(document, verbose=0)
    found = device.get_tensor(answered["index"])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
