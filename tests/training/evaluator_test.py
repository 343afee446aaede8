from dsl_tf.training.evaluator import selection_metric


def test_the_first_recall_selects():
    assert selection_metric((10, 20)) == "recall@10"
