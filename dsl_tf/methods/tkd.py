"""Topology distillation (TKD, Kang et al., KDD 2021): a small student of a teacher.

A row of DSL's Table 3. The teacher is the dense backbone at the config's width, the
student one whose tables take 1 - s of that; beside its own loss it learns how the
teacher's users and items lie to each other, all of them (`full`, FTD) or within
groups and from group to group (`hierarchical`, HTD). The authors recommend HTD for
a student much smaller than its teacher.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from ml_collections import config_dict

from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import check_keys
from dsl_tf.methods import _weights, base, dense
from dsl_tf.methods._narrow import narrowed
from dsl_tf.methods._teacher import lesson
from dsl_tf.methods._topology import FullTopology, HierarchicalTopology
from dsl_tf.plugins import choose

SETTINGS = {
    # Folder of a finished dense run of the same config; '': it is trained.
    "teacher": "",
    # full (FTD) or hierarchical (HTD).
    "topology": "hierarchical",
    # λ, of the distillation in the loss.
    "weight": 1.0,
    # Users, and items, of a batch that are compared.
    "entities": 256,
    # K, groups of the hierarchical topology.
    "groups": 30,
    # α: the topology's share, against that of the groups.
    "balance": 0.5,
}

#: What `python -m dsl_tf.tune` varies.
SPACE = {
    "method.tkd.topology": ("full", "hierarchical"),
    "method.tkd.weight": {"low": 0.01, "high": 10.0, "log": True},
    "method.tkd.groups": (10, 30, 50),
    "method.tkd.balance": {"low": 0.1, "high": 0.9},
}

_KINDS = {"full": FullTopology, "hierarchical": HierarchicalTopology}


def teacher_folder(config: config_dict.ConfigDict) -> str:
    """Of the run that is learnt from; "" where its pass is one of this run."""
    return str(config.method.tkd.teacher)


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """A pass of the teacher, and one of the student."""
    settings = config.method.tkd
    kind = choose(_KINDS, settings.topology, "method.tkd.topology")
    check_keys(
        "method.tkd",
        settings,
        weight=(settings.weight >= 0, "at least 0"),
        entities=(settings.entities >= 2, "at least 2"),
        groups=(settings.groups >= 1, "at least 1"),
        balance=(0 <= settings.balance <= 1, "in [0, 1]"),
    )
    student = narrowed(config, 1.0 - config.sparsity.target)
    teacher = lesson(passes, config, settings.teacher, vectors)
    steps = max(1, len(passes.split.train) // config.train.batch_size)

    def start(model: Backbone) -> None:
        more = {}
        if kind is HierarchicalTopology:
            more = {
                "groups": settings.groups,
                "balance": settings.balance,
                "steps": steps * config.train.epochs,
                "seed": passes.seed,
            }
        topology = kind(model, teacher, settings.entities, **more)
        model.topology = topology  # its weights are trained with the model's

        def term(inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
            return settings.weight * topology(inputs)

        model.loss_terms = (term,)

    taught = passes.backbone(student, dense.make_tables, start=start)
    tables = _weights.tables(taught)
    added = {id(variable) for variable in taught.topology.weights}
    network = [v.numpy() for v in _weights.others(taught) if id(v) not in added]

    def without_topology(model: Backbone) -> None:
        _weights.set_tables(model, tables)
        _weights.set_network(model, network)

    return passes.untrained(student, dense.make_tables, without_topology)


def vectors(teacher: Backbone) -> tuple[tf.Tensor, tf.Tensor]:
    """All vectors of users and of items, float32."""
    users = np.concatenate(list(teacher.user_blocks()))
    items = np.concatenate(list(teacher.item_blocks(np.arange(teacher.num_items))))
    return tf.constant(users), tf.constant(items)
