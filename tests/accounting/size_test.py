import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from dsl_tf.accounting import size

MIB = 2**20


def test_bytes_of_variables_each_once():
    table = tf.Variable(tf.zeros([3, 5]))
    mask = tf.Variable(tf.zeros([3, 5], tf.bool))
    count = tf.Variable(0, dtype=tf.int64)
    assert size.variable_bytes([table, mask, count, table]) == 60 + 15 + 8


def test_a_system_that_does_not_say_its_peak(monkeypatch):
    """A sandbox may have no such line; there was a traceback at a pass's end."""
    text = Path("/proc/self/status").read_text()
    assert "VmHWM:" in text
    without = text.replace("VmHWM:", "VmOther:")
    monkeypatch.setattr(Path, "read_text", lambda self, *_: without)
    assert size.peak_rss_bytes() > 10 * MIB


#: Runs by itself: TensorFlow's threads grow and shrink a process that trains.
MEMORY = """
import numpy as np
from dsl_tf.accounting import size

MIB = 2**20
block = np.ones(64 * MIB, np.uint8)
size.reset_peak()
print(size.peak_rss_bytes() - size.rss_bytes())
before = size.rss_bytes()
more = np.ones(96 * MIB, np.uint8)
print(size.rss_bytes() - before)
del more, block
print(size.peak_rss_bytes() - before, size.peak_rss_bytes() - size.rss_bytes())
size.reset_peak()
print(size.peak_rss_bytes() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_is_measured_from_the_reset_on():
    ran = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True
    )
    at_reset, grown, peak, freed, after = (
        int(number) / MIB for number in ran.stdout.split()
    )
    assert abs(at_reset) < 8
    assert grown > 90
    assert peak > 90
    assert freed > 150
    assert after < 8
