import numpy as np
import rich.console

from dsl_tf.methods import base, popularity


def test_everybody_is_shown_the_same(small_config, small_split, tmp_path):
    task = base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))
    trained = base.train(task, small_config, popularity.train)
    scores = trained.model.score({"user_id": np.array([3, 77])}).numpy()
    np.testing.assert_array_equal(scores, np.stack([small_split.popularity()] * 2))
    assert trained.passes[0].cost.steps == 0
