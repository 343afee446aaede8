"""Topology distillation (TKD, Kang et al., KDD 2021): a small student of a teacher.

A row of DSL's Table 3. The teacher is the dense backbone at the config's width, the
student one whose tables take 1 - s of that; beside its own loss it learns how the
teacher's users and items lie to each other, all of them (`full`, FTD) or within
groups and from group to group (`hierarchical`, HTD). The authors recommend HTD for
a student much smaller than its teacher. What is compared are the first positives of a
batch: a user or an item that is there twice counts twice.
"""

import dataclasses
from collections.abc import Mapping

import tensorflow as tf
from ml_collections import config_dict

from dsl_tf.accounting import macs
from dsl_tf.accounting.macs import TrainingMacs
from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import check_keys
from dsl_tf.methods import _weights, base, dense
from dsl_tf.methods._narrow import narrowed
from dsl_tf.methods._teacher import lesson
from dsl_tf.methods._topology import FullTopology, HierarchicalTopology
from dsl_tf.plugins import choose
from dsl_tf.types import LayerMacs, StepSize

SETTINGS = {
    # Folder of a finished dense run of the same config, whose passes are counted here
    # too; '': it is trained.
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

#: Of all users and of all items, float32 [num_users, d] and [num_items, d].
Vectors = tuple[tf.Tensor, tf.Tensor]

_KINDS = {"full": FullTopology, "hierarchical": HierarchicalTopology}


def teacher_folder(config: config_dict.ConfigDict) -> str:
    """Of the run that is learnt from; "" where its pass is one of this run."""
    return str(config.method.tkd.teacher)


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """A pass of the teacher, its vectors, and a pass of the student."""
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

    def seen(teacher: Backbone) -> Vectors:
        taken = macs.once(macs.of_layers(teacher))
        made = passes.made(
            "vectors", lambda: vectors(teacher), TrainingMacs(taken, 0, 0)
        )
        return blank(teacher) if made is None else made

    teacher = lesson(passes, config, settings.teacher, seen)
    # A refit is on the schedules of the first time.
    steps = max(1, len(passes.first_split.train) // config.train.batch_size)

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
        model.loss_terms = (Distillation(topology, settings.weight),)

    taught = passes.backbone(student, dense.make_tables, start=start)
    added = {id(variable) for variable in taught.topology.weights}
    network = [v.numpy() for v in _weights.others(taught) if id(v) not in added]
    without_topology = _weights.State(_weights.tables(taught), network)
    del taught  # two at a time would double the memory
    return passes.untrained(student, dense.make_tables, without_topology.give)


def vectors(teacher: Backbone) -> Vectors:
    """All vectors of users and of items, from one propagation where there is one."""
    prepared = teacher.prepared()
    users = teacher.user_vectors({"user_id": tf.range(teacher.num_users)}, prepared)
    return users, teacher.item_vectors(None, prepared)


def blank(teacher: Backbone) -> Vectors:
    """Zeros of the shapes of `vectors`, for a student that is not trained."""
    row = tf.zeros([1], tf.int32)
    users = teacher.user_vectors({"user_id": row}).shape[1]
    items = teacher.item_vectors(row).shape[1]
    shapes = (teacher.num_users, users), (teacher.num_items, items)
    return tf.zeros(shapes[0]), tf.zeros(shapes[1])


@dataclasses.dataclass(frozen=True, eq=False)
class Distillation:
    """The topology's part of the student's loss, a `LossTerm`.

    Attributes:
      topology: what is learnt of the teacher.
      weight: λ.
    """

    topology: FullTopology
    weight: float

    def __call__(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """A scalar."""
        return self.weight * self.topology(inputs)

    @property
    def held_bytes(self) -> int:
        """Of the teacher's vectors."""
        return self.topology.held_bytes

    def macs(
        self, layers: Mapping[str, LayerMacs], size: StepSize
    ) -> dict[str, LayerMacs]:
        """The topology's."""
        return self.topology.macs(layers, size)
