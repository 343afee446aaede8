r"""ConvNCF (He et al., IJCAI 2018), made sparse by DSL (WSDM 2024, Table 1).

Paper row: ConvNCF + DSL; its printed metrics are those of one last test batch, as
NeuMF's, so they are no target. Metric here: Recall@20 and NDCG@20 of 1,000 seeded
users, `full_ranking(users=1000)`; epochs are selected on 200. One core scores 9,000
pairs a second and trains on 890 positives, so an epoch of MovieLens-100K takes it
1.4 minutes and a validation half a minute. Numbers and minutes of each row:
docs/results.md.

    python -m dsl_tf.main --config=configs/convncf.py
    python -m dsl_tf.main --config=configs/convncf.py:ml-100k
    python -m dsl_tf.main --config=configs/convncf.py:ml-1m

The original takes Adagrad at .05 on the sum of the losses of 512 positives, with
weights .01, 1 and 11 on the squared norms of embeddings, layers and output. For the
mean and half the squared norms these are 2e-2, 4e-3 and 4e-2: with them, and Adam,
a small model on small data ended where all scores are equal. So they are lower here.
As the original:

    python -m dsl_tf.main --config=configs/convncf.py:ml-1m \
        --config.optimizer.name=adagrad --config.train.learning_rate=0.05 \
        --config.model.embedding_regularization=2e-2 \
        --config.model.conv_regularization=4e-3 \
        --config.model.output_regularization=4e-2 \
        --config.train.epochs=1500 --config.train.patience=0
"""

from ml_collections import config_dict

from dsl_tf.configs import base

#: What differs from the general values below, by data set. Learning rates and
#: regularisation of ml-100k were chosen on its validation, in a few epochs and
#: partly at half the width; ml-1m follows it and is not tuned.
TUNED: dict[str, dict[str, object]] = {
    "demo": {
        "train.epochs": 5,
        "model.embedding_dim": 16,
        "model.channels": 16,
        "model.pretraining_epochs": 10,
        "evaluation.protocol": "full_ranking",
        "evaluation.validation_protocol": "",
    },
    "ml-100k": {},
    "ml-1m": {"train.epochs": 4},
}

#: What `python -m dsl_tf.tune` varies.
SPACE = {
    "train.learning_rate": {"low": 2e-4, "high": 5e-3, "log": True},
    "model.embedding_regularization": {"low": 1e-4, "high": 1e-1, "log": True},
    "model.pretraining_regularization": {"low": 1e-3, "high": 1e-1, "log": True},
}


def get_config(data: str = "demo") -> config_dict.ConfigDict:
    """ConvNCF with the values tuned for a data set.

    Args:
      data: a data set's name; one without tuned values, and the user's own
        file (`own`), get the general ones.
    """
    config = base.get_config()
    config.data.name = data

    config.model.name = "convncf"
    config.model.embedding_dim = 64  # d, a power of two: log2(d) layers.
    config.model.channels = 32  # Of each layer.
    config.model.loss = "bpr"  # Or bce, sampled_softmax.
    config.model.initial_stddev = 0.01  # Of the truncated normal embeddings.
    # Weights of half the squared norms: of a batch's rows, the layers, the output.
    config.model.embedding_regularization = 1e-2
    config.model.conv_regularization = 1e-5
    config.model.output_regularization = 1e-4
    # The run of MF-BPR whose tables this one starts from: epochs at most, 0: none.
    config.model.pretraining_epochs = 30
    config.model.pretraining_learning_rate = 3e-3
    config.model.pretraining_regularization = 1e-2

    config.train.epochs = 8
    config.train.batch_size = 512
    config.train.negatives = 1
    config.train.learning_rate = 1e-3
    config.train.patience = 2
    # A pair takes 1.5 million multiply-accumulates.
    config.evaluation.protocol = "full_ranking(users=1000)"
    config.evaluation.validation_protocol = "full_ranking(users=200)"
    config.export.evaluate = False  # Each file would take as long as the test.

    config.update_from_flattened_dict(TUNED.get(data.replace("_", "-"), {}))
    return config
