"""Models that another process reads."""

import subprocess
import sys

import numpy as np
import pytest
import tf_keras as keras

import dsl_tf

#: With the paths of models as its arguments; what each does to three rows, of which
#: kind it is, and whether its weights can move.
READER = """
import sys
import dsl_tf
import numpy as np
rows = np.array([[1, 2, 3]])
for path in sys.argv[1:]:
    model = dsl_tf.load_model(path)
    found = model.predict(rows, verbose=0).item()
    kinds = type(model.optimizer).__name__, type(model.layers[-3]).__name__
    explore = dsl_tf.DynamicSparseTraining(0.5, 1, end_step=10)
    model.fit(np.tile(rows, [4, 1]), np.ones([4, 1]), 2, verbose=0, callbacks=[explore])
    print(found, *kinds, len(explore.records))
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
    model.fit(np.array([[1, 2, 3]]), np.ones([1, 1]), verbose=0)
    return model


def test_another_process_reads_them(tmp_path):
    """Keras alone did not know the layers, or made others of a SavedModel."""
    sequential, functional = _model(False), _model(True)
    paths = [str(tmp_path / name) for name in ("f.keras", "s.keras", "s.h5", "s")]
    functional.save(paths[0])
    sequential.save(paths[1])
    with pytest.warns(UserWarning, match="HDF5"):
        sequential.save(paths[2])
    sequential.save(paths[3])
    command = [sys.executable, "-c", READER, *paths]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in said.strip().split("\n")[-4:]]
    for model, (found, *kinds) in zip(
        [functional, *3 * [sequential]], lines, strict=True
    ):
        expected = model.predict(np.array([[1, 2, 3]]), verbose=0).item()
        assert float(found) == pytest.approx(expected, rel=1e-5)
        assert kinds == ["LazyAdam", "SparseEmbedding", "2"]
