import rich.console

from dsl_tf import results
from dsl_tf.methods import base, qr_hashing


def test_what_is_trained_takes_the_share(small_neumf, small_split, tmp_path):
    small_neumf.train.epochs = 1
    small_neumf.sparsity.target = 0.75
    task = base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))
    trained = base.train(task, small_neumf, qr_hashing.train)
    width = small_neumf.model.gmf_dim + small_neumf.model.mlp_dim
    dense = 4 * width * (small_split.num_users + small_split.num_items)
    cost = results.costs(trained, base_rss_bytes=1)
    assert 0.24 * dense < cost["inference"]["table_bytes"] <= 0.25 * dense
    assert trained.model.item_vectors().shape == (small_split.num_items, width)
