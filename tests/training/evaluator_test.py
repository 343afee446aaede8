"""What is asked of a model, and what is told before it is trained."""

import dataclasses

import numpy as np
import pytest

from dsl_tf.backbones._popularity import Popularity
from dsl_tf.errors import UserError
from dsl_tf.methods import base, dense
from dsl_tf.training.evaluator import Evaluator, selection_metric
from dsl_tf.types import empty_interactions


@pytest.fixture
def model(small_config, small_split):
    tables = dense.make_tables(small_config, small_split, 0)
    return base.make_backbone(small_split, small_config, tables, 0)


def test_the_first_recall_selects():
    assert selection_metric((10, 20)) == "recall@10"


def test_a_user_without_a_weight_is_ranked_by_popularity(
    model, small_config, small_split
):
    """As exports do it: what is measured is what is served."""
    for layer in model._flatten_layers():
        if hasattr(layer, "embeddings") and layer.embeddings.shape[0] == 400:
            layer.embeddings.assign(layer.embeddings * np.zeros([400, 1], np.float32))
    found = Evaluator(model, small_config, small_split, "test")()
    popular = Popularity(small_split)
    expected = Evaluator(popular, small_config, small_split, "test")()
    np.testing.assert_array_equal(
        found.per_user["recall@20"], expected.per_user["recall@20"]
    )


@pytest.mark.parametrize("cutoffs", [(), (0,), (20, -1)])
def test_cutoffs_that_are_no_ranks_are_told_at_once(
    model, small_config, small_split, cutoffs
):
    small_config.evaluation.cutoffs = cutoffs
    with pytest.raises(UserError, match=r"`evaluation\.cutoffs` must be"):
        Evaluator(model, small_config, small_split, "test")


def test_a_test_of_unknown_users_is_told_at_once(model, small_config, small_split):
    """It was told after the training, and the weights could not be had any more."""
    known = small_split.train.users >= 10
    split = dataclasses.replace(
        small_split,
        train=small_split.train.take(known),
        test=small_split.test.take(small_split.test.users < 10),
    )
    with pytest.raises(UserError, match="The test part must have a user"):
        Evaluator(model, small_config, split, "test")
    nobody = dataclasses.replace(split, validation=empty_interactions())
    Evaluator(model, small_config, nobody, "validation")  # nothing is asked
