"""The formulas that the numbers of the paper's Table 2 fit."""

import numpy as np
import pytest

from dsl_tf.accounting import published
from dsl_tf.backbones import lightgcn, mf
from dsl_tf.layers.tables import DenseTables
from dsl_tf.types import Interactions, Split, StepSize, empty_interactions

SIZE = StepSize(users=2, items=6, pairs=6, positives=2)


def test_an_inner_product_by_hand():
    model = mf.MF(5, 7, DenseTables(5, 7), 4)
    assert published.inference(model, 0.5) == 0.5 * 2 * 5 * 7 * 4
    # Eleven steps of six pairs.
    assert published.training(model, 0.5, 11, SIZE) == 0.5 * 11 * 6 * 4


@pytest.fixture
def graph_model():
    users, items = np.array([[0, 1, 2, 2], [0, 0, 1, 2]], np.int32)
    names = np.array(["a", "b", "c"], dtype=object)
    rest = empty_interactions()
    split = Split("tiny", names, names, Interactions(users, items), rest, rest)
    return lightgcn.LightGCN(split, DenseTables(3, 3), 4, 3)


def test_a_graph_by_hand(graph_model):
    # 2 |E| (N + M) d L.
    whole = 2 * 4 * 6 * 4 * 3
    assert published.inference(graph_model, 1.0) == whole
    assert published.training(graph_model, 0.25, 10, SIZE) == 0.25 * 10 * whole
