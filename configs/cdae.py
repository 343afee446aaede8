r"""CDAE (Wu et al., WSDM 2016), made sparse by DSL (WSDM 2024, Table 2).

Paper row, dense: Recall@20/NDCG@20 .3254/.3236 on MovieLens-1M, .1687/.1080 on
CiteULike, .2504/.2452 on Foursquare; on other splits, so they are no direct target.
Metric here: the same, `full_ranking`, best epoch chosen on validation. Numbers,
minutes and the command of each row: docs/results.md; on MovieLens-1M .2528/.3788
dense (100 s), .2499/.3756 with DSL at .5 (153 s).

    python -m dsl_tf.main --config=configs/cdae.py
    python -m dsl_tf.main --config=configs/cdae.py:ml-1m

A batch is of users, with negatives drawn for each of their items;
`train.sampling` is not read. Wu et al. use AdaGrad and one user a step:

    python -m dsl_tf.main --config=configs/cdae.py --config.optimizer.name=adagrad \
        --config.train.learning_rate=0.1 --config.model.regularization=0.01 \
        --config.train.batch_size=1
"""

from typing import Any

from ml_collections import config_dict

from dsl_tf.configs import base

#: What differs from the general values below, by data set. Those of all but
#: foursquare, which is not tuned, were chosen on validation.
TUNED: dict[str, dict[str, Any]] = {
    "demo": {"train.epochs": 60},
    "ml-1m": {
        "model.hidden_dim": 200,
        "model.regularization": 5e-3,
        "train.epochs": 60,
    },
    "ml-100k": {
        "model.hidden_dim": 200,
        "model.regularization": 5e-3,
        "train.batch_size": 100,
        "train.epochs": 60,
    },
    "citeulike": {
        "train.learning_rate": 1.5e-2,
        "train.negatives": 20,
        "train.epochs": 80,
        "train.patience": 40,  # At .8 DSL learns little for 60 epochs.
        "growth.second_moment": "row",
    },
    "foursquare": {},
}

#: What `python -m dsl_tf.tune` varies.
SPACE = {
    "train.learning_rate": {"low": 5e-4, "high": 2e-2, "log": True},
    "train.negatives": (1, 5, 20),
    "model.corruption": {"low": 0.1, "high": 0.8},
    "model.regularization": {"low": 1e-5, "high": 1e-1, "log": True},
}


def get_config(data: str = "demo") -> config_dict.ConfigDict:
    """CDAE with the values tuned for a data set.

    Args:
      data: a data set's name; one without tuned values, and the user's own
        file (`own`), get the general ones.
    """
    config = base.get_config()
    config.data.name = data

    config.model.name = "cdae"
    config.model.hidden_dim = 50  # Width of a user vector; 50 is the paper's.
    config.model.corruption = 0.5  # q: share of a user's items left out, [0, 1).
    config.model.loss = "logistic"  # Or square.
    config.model.regularization = 1e-3  # λ: weight of half the squared norms.

    config.train.epochs = 100  # Passes over the users.
    config.train.batch_size = 250  # Users a step.
    config.train.negatives = 5  # For each item of a user.
    config.train.learning_rate = 5e-3
    config.train.validate_every = 5
    config.train.patience = 15  # Epochs.

    config.update_from_flattened_dict(TUNED.get(data.replace("_", "-"), {}))
    return config
