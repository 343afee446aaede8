import subprocess
import sys
import zlib

import numpy as np

from dsl_tf import streams


def test_a_key_is_the_same_in_every_process():
    program = "from dsl_tf import streams; print(streams.key(7, 'negatives'))"
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert int(printed.stdout) == streams.key(7, "negatives")
    assert streams.key(7, "negatives") == zlib.crc32(b"7/negatives") & 0x7FFFFFFF


def test_streams_and_seeds_do_not_meet():
    names = [f"stream/{i}" for i in range(30)]
    keys = {streams.key(seed, name) for seed in range(30) for name in names}
    assert len(keys) == 900
    assert all(0 <= key < 2**31 for key in keys)


def test_a_generator_is_a_function_of_seed_and_stream():
    def draw(seed, stream):
        return streams.generator(seed, stream).random(100)

    np.testing.assert_array_equal(draw(0, "a"), draw(0, "a"))
    assert (
        abs(np.corrcoef([draw(0, "a"), draw(0, "b"), draw(1, "a")])[0, 1:]).max() < 0.4
    )
