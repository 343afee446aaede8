import sys

import numpy as np
import pytest
import tensorflow as tf

from dsl_tf.accounting import size

MIB = 2**20


def test_bytes_of_variables_each_once():
    table = tf.Variable(tf.zeros([3, 5]))
    mask = tf.Variable(tf.zeros([3, 5], tf.bool))
    count = tf.Variable(0, dtype=tf.int64)
    assert size.variable_bytes([table, mask, count, table]) == 60 + 15 + 8


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_is_measured_from_the_reset_on():
    block = np.ones(64 * MIB, np.uint8)
    size.reset_peak()
    assert abs(size.peak_rss_bytes() - size.rss_bytes()) < 8 * MIB
    before = size.rss_bytes()
    more = np.ones(96 * MIB, np.uint8)
    assert size.rss_bytes() - before > 90 * MIB
    del more, block
    assert size.peak_rss_bytes() - before > 90 * MIB
    assert size.peak_rss_bytes() - size.rss_bytes() > 100 * MIB
    size.reset_peak()
    assert size.peak_rss_bytes() - before < 8 * MIB
