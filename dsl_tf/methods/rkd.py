"""Ranking distillation (RKD, Tang and Wang, KDD 2018): a small student of a teacher.

A row of DSL's Table 3. The teacher is the dense backbone at the config's width, the
student one whose tables take 1 - s of that. Beside its own loss the student scores
the teacher's K best items high, which are of items that the user has not seen:

    L = L_student - α Σ_(r=1..K) w_r log σ(s(u, teacher's r-th item)),

with w_r in proportion to exp(-r / λ), and, after some epochs, times
max(0, tanh(μ (r' - r))) where r' is the rank that the student itself gives the item, as
estimated from a few sampled items. It is a mean over the batch's positives, that of the
authors a sum. Where the student's own loss is a mean over a positive and its negatives
(`bce`), theirs is a sum over these too: with n of them α = 1 there is 1 / (1 + n) here.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from ml_collections import config_dict

from dsl_tf import streams
from dsl_tf.accounting import macs
from dsl_tf.accounting.macs import TrainingMacs
from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import check_keys
from dsl_tf.methods import base, dense
from dsl_tf.methods._narrow import narrowed
from dsl_tf.methods._teacher import lesson
from dsl_tf.types import LayerMacs, Split, StepSize

SETTINGS = {
    # Folder of a finished dense run of the same config, whose passes are counted here
    # too; '': it is trained.
    "teacher": "",
    # K, items of the teacher for each user.
    "top": 10,
    # α.
    "weight": 1.0,
    # λ, of the weight by the teacher's rank.
    "decay": 1.0,
    # μ, of the weight by the student's rank.
    "sharpness": 0.1,
    # Epochs before that weight counts.
    "warm_up_epochs": 10,
    # Items sampled to estimate the student's rank.
    "samples": 100,
}

#: What `python -m dsl_tf.tune` varies.
SPACE = {
    "method.rkd.top": (5, 10, 20, 50),
    "method.rkd.weight": {"low": 0.1, "high": 10.0, "log": True},
    "method.rkd.decay": {"low": 0.3, "high": 10.0, "log": True},
}
_USERS_AT_ONCE = 256


def teacher_folder(config: config_dict.ConfigDict) -> str:
    """Of the run that is learnt from; "" where its pass is one of this run."""
    return str(config.method.rkd.teacher)


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """A pass of the teacher, its ranking of all items, and a pass of the student."""
    settings, split = config.method.rkd, passes.split
    check_keys(
        "method.rkd",
        settings,
        top=(1 <= settings.top <= split.num_items, "from 1 to the number of items"),
        weight=(settings.weight >= 0, "at least 0"),
        decay=(settings.decay > 0, "above 0"),
        sharpness=(settings.sharpness > 0, "above 0"),
        warm_up_epochs=(settings.warm_up_epochs >= 0, "at least 0"),
        samples=(settings.samples >= 1, "at least 1"),
    )
    student = narrowed(config, 1.0 - config.sparsity.target)

    def ranked(teacher: Backbone) -> np.ndarray | None:
        layers = macs.of_layers(teacher)
        taken = split.num_users * macs.inference(layers, split.num_items)
        taken += macs.once(layers)
        return passes.made(
            "rank",
            lambda: ranking(teacher, split, settings.top),
            TrainingMacs(taken, 0, 0),
        )

    best = lesson(passes, config, settings.teacher, ranked)
    if best is None:  # nobody is taught, but what it would take may be counted
        best = np.zeros([split.num_users, settings.top], np.int32)
    # A refit is on the schedules of the first time.
    steps = max(1, len(passes.first_split.train) // config.train.batch_size)

    def start(model: Backbone) -> None:
        term = Distillation(
            model,
            tf.constant(best),
            weight=settings.weight,
            decay=settings.decay,
            sharpness=settings.sharpness,
            warm_up_steps=settings.warm_up_epochs * steps,
            samples=settings.samples,
            seed=passes.seed,
        )
        model.loss_terms = (term,)

    return passes.backbone(student, dense.make_tables, start=start)


def ranking(teacher: Backbone, split: Split, count: int) -> np.ndarray:
    """The best items that each user has not seen, int32 [num_users, count]."""
    known = split.train.csr(split.num_users, split.num_items)
    prepared = teacher.prepared()
    items = teacher.item_vectors(None, prepared)

    @tf.function(autograph=False, reduce_retracing=True)
    def best(users: tf.Tensor, seen: tf.Tensor) -> tf.Tensor:
        scores = teacher.score({"user_id": users}, items, prepared)
        return tf.math.top_k(tf.where(seen, -np.inf, scores), count).indices

    found = []
    for start in range(0, split.num_users, _USERS_AT_ONCE):
        stop = min(start + _USERS_AT_ONCE, split.num_users)
        users = tf.range(start, stop)
        found.append(best(users, known[start:stop].toarray() > 0).numpy())
    return np.concatenate(found)


@dataclasses.dataclass(frozen=True, eq=False)
class Distillation:
    """The teacher's part of the student's loss, the mean over a batch; a `LossTerm`.

    Attributes:
      model: the student, compiled.
      best: int32 [num_users, K], the teacher's items.
      weight: α.
      decay: λ.
      sharpness: μ.
      warm_up_steps: steps before the student's own rank counts.
      samples: items that it is estimated from.
      seed: seeds which.
    """

    model: Backbone
    best: tf.Tensor
    weight: float
    decay: float
    sharpness: float
    warm_up_steps: int
    samples: int
    seed: int

    def __call__(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """A scalar."""
        step = self.model.optimizer.iterations
        sampled = tf.random.stateless_uniform(
            [1, self.samples],
            tf.stack([streams.key(self.seed, "rkd"), step]),
            maxval=self.model.num_items,
            dtype=tf.int32,
        )
        of_teacher = tf.gather(self.best, inputs["user"])
        sets = self.model.logits_with(inputs, [of_teacher, sampled])
        logits, others = (each[:, 1:] for each in sets)
        losses = self.weights(logits, others, step) * tf.nn.softplus(-logits)
        return self.weight * tf.reduce_mean(tf.reduce_sum(losses, axis=1))

    @property
    def held_bytes(self) -> int:
        """Of the teacher's items."""
        return int(self.best.shape.num_elements() * self.best.dtype.size)

    def macs(
        self, layers: Mapping[str, LayerMacs], size: StepSize
    ) -> dict[str, LayerMacs]:
        """Scores of the teacher's items and of those sampled; see `LossTerm.macs`.

        Each set is scored together with the positives. What comes once in the layers
        does so for both sets together; of those sampled, which are compared with, there
        is no gradient.
        """
        users, shared = size.users, self.samples
        pairs = users * (1 + self.best.shape[1])
        of_teacher = StepSize(users, pairs, pairs, size.positives)
        sampled = StepSize(users, users + shared, users * (1 + shared), size.positives)
        taken = {
            f"teacher's items, {name}": LayerMacs(
                once=each.forward, once_backward=each.backward
            )
            for name, each in macs.training(layers, 1, of_teacher).items()
        }
        scores = {name: each._replace(once=0.0) for name, each in layers.items()}
        for name, each in macs.training(scores, 1, sampled).items():
            if each.forward:
                taken[f"sampled items, {name}"] = LayerMacs(once=each.forward)
        return taken

    def weights(
        self, logits: tf.Tensor, others: tf.Tensor, step: tf.Tensor
    ) -> tf.Tensor:
        """w_r of each user and rank, [B, K], without a gradient.

        Args:
          logits: of the teacher's items, [B, K].
          others: of items sampled, [B, samples].
          step: optimiser steps done.
        """
        rank = tf.range(1, self.best.shape[1] + 1, dtype=tf.float32)
        by_teacher = tf.nn.softmax(-rank / self.decay)
        above = others[:, None, :] > logits[:, :, None]
        share = tf.reduce_mean(tf.cast(above, tf.float32), axis=2)
        estimate = tf.floor((self.model.num_items - 1) * share)
        by_student = tf.maximum(0.0, tf.tanh(self.sharpness * (estimate - rank)))
        counts = tf.cast(step >= self.warm_up_steps, tf.float32)
        return tf.stop_gradient(by_teacher * (1 - counts + counts * by_student))
