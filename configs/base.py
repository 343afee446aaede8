"""Every key that all experiments share, with its unit and its general default.

A backbone's config is this one plus its few changed lines. Any key can be set
on the command line: `--config.sparsity.target=0.8`.
"""

from ml_collections import config_dict

from dsl_tf import plugins


def get_config() -> config_dict.ConfigDict:
    """The keys that all backbones share, with general defaults."""
    config = config_dict.ConfigDict()

    # Several seeds: a complete run for each, their mean and deviation on top.
    config.seeds = (0,)

    config.data = config_dict.ConfigDict()
    config.data.name = "demo"  # A module of dsl_tf/data/datasets.
    config.data.path = ""  # The user's own file or folder; wins over `name`.
    config.data.root = ""  # Folder of the data sets; '': $DSL_TF_DATA.
    # Columns of the user's own file; rating and time are read where needed.
    config.data.user_column = "user"
    config.data.item_column = "item"
    config.data.rating_column = "rating"
    config.data.time_column = "time"
    config.data.separator = ""  # One character; '': by the file's name.
    # Lower ratings are dropped, and it may be below 0; 0: keep all. Of a pair rated
    # several times the latest counts or, where `split` and `validation` need no times
    # and none are read, the highest.
    config.data.min_rating = 0.0
    config.data.k_core = 0  # Least interactions of a user and an item; 0: off.
    # auto: the split given, else ratio. ratio, leave_one_out, temporal; or
    # strong_generalization: whole users, who are asked about by a part of their
    # items (autoencoders).
    config.data.split = "auto"
    # Share of a user's interactions; strong_generalization: of a held-out user's.
    config.data.test_fraction = 0.2
    # Which of a user's training interactions are held out for validation: random, or
    # latest, by time or, in adjacency lists, by their place in the file. The
    # validation part of a source stays as it is.
    config.data.validation = "random"
    # Share of a user's training interactions; strong_generalization: of the users,
    # and as many again for the test.
    config.data.validation_fraction = 0.1
    config.data.seed = 0  # Of the split; apart from `seeds`, so runs compare.

    config.model = config_dict.ConfigDict()  # `name` and sizes: per backbone.

    config.method = config_dict.ConfigDict()
    config.method.name = "dsl"  # A module of dsl_tf/methods.
    # And a section for each module that has settings of its own.
    for name, settings in plugins.settings("dsl_tf.methods").items():
        config.method[name] = config_dict.ConfigDict(settings)

    config.sparsity = config_dict.ConfigDict()
    config.sparsity.target = 0.5  # s: share of weights pruned, in [0, 1).
    # ΔT: optimiser steps; 0: a fiftieth of those in which weights move.
    config.sparsity.update_interval = 0
    config.sparsity.initial_update_ratio = 0.5  # ρ_0: share exchanged, [0, 1].
    config.sparsity.schedule = "cosine"  # cosine, linear, constant or none.
    config.sparsity.end_fraction = 1.0  # T_end: share of the planned steps.
    config.sparsity.budget = "joint"  # joint: users and items; or per_table.
    # Algorithm 1 read literally: an exploration takes the optimiser's place.
    config.sparsity.exploration_replaces_step = False

    config.budget = config_dict.ConfigDict()
    # Of one .tflite file, at most: picks what the method gives up, such as
    # `sparsity.target`. 0: no such limit.
    config.budget.bytes = 0
    # Which of `export.formats` that is; '': the most precise whose dense tables fit,
    # else the least precise.
    config.budget.format = ""
    # With fewer of its weights than this share a table is made narrower instead: the
    # place of a weight takes bytes too. docs/results.md, "MF on MovieLens-1M".
    config.budget.least_density = 0.5

    config.pruning = config_dict.ConfigDict()
    config.pruning.criterion = "magnitude"  # Of dsl_tf/sparsity/pruning.py.

    config.growth = config_dict.ConfigDict()
    config.growth.criterion = "gradient"  # Of dsl_tf/sparsity/growth.py.
    # Steps of gradient summed before use: 'auto', or a number ('1': the paper).
    config.growth.horizon = "auto"
    config.growth.recorder_rows = 65536  # Most table rows with such a sum.
    # What Adam's second moment of a grown weight begins with: zero, or row, its mean
    # over the row's weights.
    config.growth.second_moment = "zero"

    config.storage = "packed"  # packed: memory falls with the sparsity; or masked.

    config.optimizer = config_dict.ConfigDict()
    config.optimizer.name = "adam"
    config.optimizer.beta_2 = 0.999  # Decay of the second moment, of Adam and its kin.

    config.train = config_dict.ConfigDict()
    config.train.epochs = 50  # Passes over the training interactions, at most.
    config.train.batch_size = 2048  # Positives a step.
    # interactions: each once an epoch; users: a uniform user, then one of the user's.
    config.train.positives = "interactions"
    config.train.negatives = 4  # Negatives a positive.
    # per_pair: drawn for each positive, from what its user has not seen; shared:
    # drawn once for so many positives, from all items.
    config.train.sampling = "per_pair"
    config.train.shared_by = 0  # Positives; 0: a whole batch.
    # Shared negatives are drawn in proportion to popularity to this power.
    config.train.negatives_exponent = 0.0
    config.train.learning_rate = 1e-3
    # constant; or cosine: falls to 0 over the planned steps.
    config.train.learning_rate_schedule = "constant"
    config.train.patience = 5  # Epochs without a better validation; 0: never.
    config.train.validate_every = 1  # Epochs between validations.
    config.train.checkpoint_minutes = 10.0  # And at every epoch's end.
    config.train.refit = False  # Train anew on train + validation at the end.

    config.evaluation = config_dict.ConfigDict()
    # full_ranking, full_ranking(users=n) or leave_one_out_sampled; with the data
    # split of that name strong_generalization, and no other.
    config.evaluation.protocol = "full_ranking"
    config.evaluation.validation_protocol = ""  # '': the same.
    config.evaluation.cutoffs = (20,)  # K of recall@K; selection on the first.

    config.export = config_dict.ConfigDict()
    config.export.k = 20  # Items recommended.
    config.export.users = "all"  # Users in the mobile files: all or none.
    # Item tables of the mobile files: small: fewest bytes; fast: top-k in a third
    # of the time (dot products only). Figures: docs/benchmarks.md.
    config.export.layout = "small"
    # Bytes of each file's tables; the smallest weights are left out of it. 0: whole.
    config.export.table_bytes = 0
    # Whether the ranking of each file is measured on the test set (cost.json).
    config.export.evaluate = True
    # And tflite_int4; of lightgcn, saved_model_factored.
    config.export.formats = ("saved_model", "tflite", "tflite_fp16", "tflite_int8")

    return config
