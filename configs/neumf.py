r"""NeuMF (He et al., WWW 2017), made sparse by DSL (WSDM 2024, Table 1).

Paper row: NeuMF + DSL; its printed metrics are those of one last test batch, so
they are no target. Metric here: Recall@20 and NDCG@20,
`full_ranking`. Numbers, minutes and the command of each row: README, "Results".

    python -m dsl_tf.main --config=configs/neumf.py
    python -m dsl_tf.main --config=configs/neumf.py:ml-1m
    python -m dsl_tf.main --config=configs/neumf.py --config.data.path=FILE

It has a softmax over the negatives, L2 and wider GMF tables. As He et al. have it:

    python -m dsl_tf.main --config=configs/neumf.py:ml-1m --config.model.loss=bce \
        --config.model.gmf_dim=8 --config.model.regularization=0 \
        --config.train.batch_size=256 --config.train.negatives=4 \
        --config.train.learning_rate=1e-3 --config.train.epochs=20
"""

from ml_collections import config_dict

from dsl_tf.configs import base

#: What differs from the general values below, by data set. Those of demo, ml-1m and
#: citeulike (dense) were chosen on validation; the others are not tuned.
TUNED = {
    "demo": {
        "train.epochs": 10,
        "train.batch_size": 1024,
        "train.negatives": 4,
        "model.gmf_dim": 64,
        "model.loss": "bce",
        "model.regularization": 0.0,
    },
    "ml-1m": {"sparsity.update_interval": 50},
    "ml-100k": {"train.batch_size": 512},
    "citeulike": {
        "train.batch_size": 512,
        "train.learning_rate": 2e-3,
        "train.negatives": 64,
        "model.regularization": 3e-4,
        "sparsity.update_interval": 50,
    },
    "foursquare": {},
    "gowalla": {},
    "yelp2018": {},
    "amazon-book": {"train.batch_size": 4096},
}

#: What `python -m dsl_tf.tune` varies.
SPACE = {
    "train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "train.negatives": (4, 8, 16),
    "model.regularization": {"low": 1e-5, "high": 1e-1, "log": True},
    "model.dropout": {"low": 0.0, "high": 0.5},
}


def get_config(data: str = "demo") -> config_dict.ConfigDict:
    """NeuMF with the values tuned for a data set.

    Args:
      data: a data set's name; one without tuned values, and the user's own
        file (`own`), get the general ones.
    """
    config = base.get_config()
    config.data.name = data

    config.model.name = "neumf"
    config.model.gmf_dim = 128  # Width of the GMF tables.
    config.model.mlp_dim = 32  # Width of the MLP tables.
    config.model.mlp_layers = (32, 16, 8)  # Units after the concatenation.
    config.model.dropout = 0.0  # Share of MLP units dropped, in [0, 1).
    config.model.loss = "sampled_softmax"  # Or bce (the paper's), bpr.
    config.model.regularization = 1e-3  # Weight of the L2 norm of a batch's rows.

    config.train.epochs = 14
    config.train.negatives = 8
    config.train.patience = 3
    config.sparsity.end_fraction = 0.5

    config.update_from_flattened_dict(TUNED.get(data.replace("_", "-"), {}))
    return config
