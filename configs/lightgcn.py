r"""LightGCN (He et al., SIGIR 2020), made sparse by DSL (WSDM 2024, Table 2).

Paper row: L=3, d=64, Recall@20/NDCG@20 .1816/.1550 on Gowalla and .0642/.0528 on
Yelp2018 dense, .1813/.1547 and .0641/.0527 with DSL. Metric here: the same,
`full_ranking`, best epoch chosen on validation. Numbers, minutes and the command
of each row: docs/results.md.

    python -m dsl_tf.main --config=configs/lightgcn.py
    python -m dsl_tf.main --config=configs/lightgcn.py:gowalla --config.train.refit

The loss is by default a softmax over shared negatives, which needs tens of epochs
where the paper's BPR needs hundreds:

    python -m dsl_tf.main --config=configs/lightgcn.py:gowalla --config.model.loss=bpr \
        --config.train.sampling=per_pair --config.train.negatives=1 \
        --config.train.batch_size=2048 --config.train.learning_rate=1e-3 \
        --config.train.learning_rate_schedule=constant --config.train.epochs=1000 \
        --config.model.regularization=1e-4
"""

from ml_collections import config_dict

from dsl_tf.configs import base

#: What differs from the general values below, by data set. The published splits of
#: Gowalla and Yelp2018 test on items that stand later in each user's history than
#: those of training; a random validation part is easier, and prefers other values.
TUNED = {
    "demo": {"train.epochs": 20, "train.batch_size": 2048, "train.negatives": 256},
    # Of a size like demo's; nothing was tuned here.
    "ml-100k": {
        "train.epochs": 20,
        "train.batch_size": 2048,
        "train.negatives": 256,
    },
    "ml-1m": {
        "train.learning_rate": 2.8e-2,
        "train.shared_by": 64,
        "model.regularization": 6e-3,
    },
    "gowalla": {
        "data.validation": "latest",
        "train.epochs": 32,
        "train.learning_rate": 2e-2,
        "model.regularization": 2e-2,
    },
    # Gowalla's values; nothing was tuned here.
    "yelp2018": {
        "data.validation": "latest",
        "train.epochs": 32,
        "train.learning_rate": 2e-2,
        "model.regularization": 2e-2,
    },
    # Of whatever size: a fiftieth of the steps between two explorations.
    "own": {
        "train.batch_size": 2048,
        "train.negatives": 128,
        "sparsity.update_interval": 0,
        "growth.horizon": "auto",
    },
}

#: What `python -m dsl_tf.tune` varies.
SPACE = {
    "train.learning_rate": {"low": 2e-3, "high": 5e-2, "log": True},
    "train.shared_by": (64, 256, 1024),
    "model.regularization": {"low": 1e-3, "high": 1e-1, "log": True},
}


def get_config(data: str = "demo") -> config_dict.ConfigDict:
    """LightGCN with the values tuned for a data set.

    Args:
      data: a data set's name; one without tuned values, and the user's own
        file (`own`), get the general ones.
    """
    config = base.get_config()
    config.data.name = data

    config.model.name = "lightgcn"
    config.model.embedding_dim = 64  # d.
    config.model.num_layers = 3  # L: hops of propagation.
    config.model.loss = "sampled_softmax"  # Or bpr (the paper's), bce.
    config.model.similarity = "dot"  # Or cosine.
    config.model.temperature = 1.0  # τ, of the similarity.
    # True: a batch's positives are not edges of the graph that it is scored by.
    config.model.hide_positives = False
    config.model.initial_stddev = 0.1  # Of the normal weights.
    config.model.regularization = 1e-2  # Weight of half a batch's squared norms.

    config.train.epochs = 16
    config.train.batch_size = 8192
    config.train.positives = "users"  # As the authors' code samples.
    config.train.sampling = "shared"
    # Of 40,000 items one draw for the whole batch has few: groups see 32 times more.
    config.train.shared_by = 256
    config.train.negatives = 256
    config.train.learning_rate = 1e-2
    config.train.learning_rate_schedule = "cosine"
    config.train.patience = 0  # The rate falls to the end.
    config.train.validate_every = 4
    # Of Gowalla's 728,000 positives a step sees 8,192: what to grow is told better by
    # more of them, and more often than every 100 steps.
    config.sparsity.update_interval = 50
    config.growth.horizon = "25"
    # The gradient reaches every row of the table in every step.
    config.growth.recorder_rows = 1 << 20
    config.export.formats = (*config.export.formats, "saved_model_factored")

    config.update_from_flattened_dict(TUNED.get(data.replace("_", "-"), {}))
    return config
