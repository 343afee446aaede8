"""The formulas that the numbers of the paper's Table 2 fit."""

import numpy as np
import pytest

from dsl_tf.accounting import macs, published
from dsl_tf.backbones import lightgcn, mf
from dsl_tf.layers.tables import DenseTables
from dsl_tf.types import Interactions, Split, StepSize, empty_interactions

SIZE = StepSize(users=2, items=6, pairs=6, positives=2)


def _inference(model, density):
    return published.inference(model, macs.of_layers(model), density)


def _training(model, density, steps):
    return published.training(model, macs.of_layers(model), density, steps, SIZE)


def test_an_inner_product_by_hand():
    model = mf.MF(5, 7, DenseTables(5, 7), 4)
    assert _inference(model, 0.5) == 0.5 * 2 * 5 * 7 * 4
    # Eleven steps of six pairs.
    assert _training(model, 0.5, 11) == 0.5 * 11 * 6 * 4


def _graph_model(layers):
    users, items = np.array([[0, 1, 2, 2], [0, 0, 1, 2]], np.int32)
    names = np.array(["a", "b", "c"], dtype=object)
    rest = empty_interactions()
    split = Split("tiny", names, names, Interactions(users, items), rest, rest)
    return lightgcn.LightGCN(split, DenseTables(3, 3), 4, layers)


def test_a_graph_by_hand():
    model = _graph_model(3)
    # 2 |E| (N + M) d L.
    whole = 2 * 4 * 6 * 4 * 3
    assert _inference(model, 1.0) == whole
    # A dense hop, and a quarter of two.
    assert _training(model, 0.25, 10) == 10 * whole * 1.5 / 3


@pytest.mark.parametrize(
    ("layers", "sparsity", "dense", "sparse"),
    [
        (3, 0.5, 3.32e13, 2.22e13),
        (4, 0.5, 4.42e13, 2.77e13),
        (3, 0.5, 2.21e13, 1.48e13),
        (4, 0.5, 2.95e13, 1.84e13),
        (3, 0.6, 6.88e13, 4.14e13),
        (4, 0.6, 9.17e13, 5.06e13),
    ],
)
def test_what_sparsity_saves_of_a_graph_in_table_2(layers, sparsity, dense, sparse):
    """Yelp2018, Gowalla and Amazon-Book."""
    model = _graph_model(layers)
    share = _inference(model, 1 - sparsity) / _inference(model, 1.0)
    assert share == pytest.approx(sparse / dense, rel=0.01)
