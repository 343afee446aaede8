"""A file says nothing twice, and still says the same."""

import numpy as np
import pytest
from tensorflow.lite.tools import flatbuffer_utils

from dsl_tf.export import tflite
from dsl_tf.export.compaction import compact
from dsl_tf.export.device import DeviceModule
from dsl_tf.export.frozen import freeze

SEEN = np.array([[2, 7, -1]], np.int32)
USER = np.array([3], np.int32)


@pytest.fixture(scope="module", params=["dot_product", "vae"])
def files(request, tmp_path_factory):
    """A file as the converter has written it, and the same one compacted."""
    case = request.getfixturevalue(request.param)
    module = DeviceModule(freeze(case.backbone, case.split, case.seed), "int8", 5)
    folder = tmp_path_factory.mktemp("files")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tflite, "compact", lambda content: content)
        raw = tflite.convert(module, folder / "raw.tflite")
    small = folder / "small.tflite"
    small.write_bytes(compact(raw.read_bytes()))
    return raw, small


def _asked(files, signature, **inputs):
    answers = [tflite.run(file, signature, **inputs) for file in files]
    assert answers[0].keys() == answers[1].keys()
    for name, expected in answers[0].items():
        np.testing.assert_array_equal(answers[1][name], expected)
    return answers[1]


def test_every_signature_answers_alike(files):
    for user in (USER, np.array([10**6], np.int32)):
        _asked(files, "recommend", user_id=user, seen=SEEN)
        _asked(files, "score", user_id=user, item_id=USER)
    width = _asked(files, "item_vector", item_id=USER)["vector"].shape[1]
    model = flatbuffer_utils.read_model(str(files[1]))
    signatures = {each.signatureKey.decode() for each in model.signatureDefs}
    if "from_history" in signatures:
        _asked(files, "from_history", history=SEEN)
    else:
        for vector in (np.ones([1, width]), np.zeros([1, width])):
            given = vector.astype(np.float32)
            _asked(files, "recommend_vector", user_vector=given, seen=SEEN)


def test_nothing_is_there_twice(files):
    raw, small = (flatbuffer_utils.read_model(str(file)) for file in files)
    # Those that rank share their loops.
    assert len(small.subgraphs) < len(raw.subgraphs)
    data = [bytes(b.data) for b in small.buffers if b.data is not None]
    assert len(set(data)) == len(data) == len(small.buffers) - 1
    names = [tensor.name for graph in small.subgraphs for tensor in graph.tensors]
    assert not any(names)
    raw_size, small_size = (file.stat().st_size for file in files)
    rest = sum(map(len, data))
    assert small_size - rest < 0.5 * (raw_size - rest)


def test_it_is_done_once(files):
    content = files[1].read_bytes()
    assert compact(content) == content
