"""Matrix factorisation (Koren et al. 2009; BPR, Rendle et al. 2009).

No row of the DSL paper, but what other backbones are compared with: MF-BPR has
Recall@20 .1627 on Gowalla and .0576 on Yelp2018 in BARS. Metric: Recall@20 and
NDCG@20, `full_ranking`.

    python -m dsl_tf.main --config=configs/mf.py
    python -m dsl_tf.main --config=configs/mf.py:gowalla
"""

from ml_collections import config_dict

from dsl_tf.configs import base

#: What differs from the general values below, by data set. Those of demo and ml-1m
#: were chosen on validation; the others are not tuned.
TUNED = {
    "demo": {"train.epochs": 20, "train.learning_rate": 5e-3},
    "ml-1m": {
        "train.epochs": 12,
        "train.learning_rate": 2e-2,
        "train.learning_rate_schedule": "cosine",
        "train.shared_by": 256,
        "train.validate_every": 3,
        "model.regularization": 5e-2,
    },
    # Of a size like demo's; nothing was tuned here.
    "ml-100k": {"train.epochs": 20},
    "own": {"train.negatives": 128},
}

#: What `python -m dsl_tf.tune` varies.
SPACE = {
    "train.learning_rate": {"low": 1e-3, "high": 3e-2, "log": True},
    "train.batch_size": (1024, 2048, 4096),
    "model.regularization": {"low": 1e-4, "high": 1e-1, "log": True},
}


def get_config(data: str = "demo") -> config_dict.ConfigDict:
    """MF with the values tuned for a data set.

    Args:
      data: a data set's name; one without tuned values, and the user's own
        file (`own`), get the general ones.
    """
    config = base.get_config()
    config.data.name = data

    config.model.name = "mf"
    config.model.embedding_dim = 64  # d.
    config.model.loss = "sampled_softmax"  # Or bpr, bce.
    config.model.initial_stddev = 0.1  # Of the normal weights.
    config.model.regularization = 1e-2  # Weight of half a batch's squared norms.

    config.train.learning_rate = 1e-2
    config.train.batch_size = 2048
    config.train.sampling = "shared"
    config.train.negatives = 256

    config.update_from_flattened_dict(TUNED.get(data.replace("_", "-"), {}))
    return config
