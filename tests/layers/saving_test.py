"""Models that another process reads."""

import subprocess
import sys

import numpy as np
import pytest
import tf_keras as keras

import dsl_tf

#: With the path of a model as its argument; what it does to three rows.
READER = """
import sys
import dsl_tf
import numpy as np
model = dsl_tf.load_model(sys.argv[1])
rows = np.array([[1, 2, 3]])
print(*model.predict(rows, verbose=0).ravel().tolist())
print(type(model.optimizer).__name__, *map(type(model.layers[-3]).__name__.__eq__,
    ["SparseEmbedding"]))
explore = dsl_tf.DynamicSparseTraining(0.5, 1, end_step=10)
model.fit(np.tile(rows, [4, 1]), np.ones([4, 1]), 2, verbose=0, callbacks=[explore])
print(len(explore.records))
"""


def _model(functional):
    layers = [
        dsl_tf.SparseEmbedding(20, 4, 0.5, input_length=3),
        keras.layers.GlobalAveragePooling1D(),
        keras.layers.Dense(1),
    ]
    model = keras.Sequential(layers)
    if functional:
        inputs = outputs = keras.Input([3], dtype="int32")
        for layer in layers:
            outputs = layer(outputs)
        model = keras.Model(inputs, outputs)
    model.compile(dsl_tf.LazyAdam(0.1), "mse")
    return model


@pytest.mark.parametrize(
    ("name", "functional"),
    [("m.keras", False), ("m.keras", True), ("m.h5", False), ("m", False)],
)
def test_another_process_reads_it(tmp_path, name, functional):
    """Keras alone did not know the layers, or made others of a SavedModel."""
    model = _model(functional)
    model.fit(np.array([[1, 2, 3]]), np.ones([1, 1]), verbose=0)
    path = str(tmp_path / name)
    if name.endswith(".h5"):
        with pytest.warns(UserWarning, match="HDF5"):
            keras.saving.save_model(model, path)
    else:
        model.save(path)
    command = [sys.executable, "-c", READER, path]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    outputs, kinds, explored = said.strip().split("\n")[-3:]
    expected = model.predict(np.array([[1, 2, 3]]), verbose=0)[0, 0]
    assert float(outputs) == pytest.approx(float(expected), rel=1e-5)
    assert kinds == "LazyAdam True"
    assert int(explored) == 2
