"""What goes along with a pass is in the account of its work."""

import json

import numpy as np

from dsl_tf.accounting import macs
from dsl_tf.backbones import mf
from dsl_tf.callbacks import DynamicSparseTraining
from dsl_tf.layers.tables import SparseTables
from dsl_tf.training.companions import Explorations, Spells
from dsl_tf.types import ExchangeRecord, LayerMacs, StepSize

SIZE = StepSize(users=2, items=6, pairs=6, positives=2)


def _record(step, weight, horizon):
    return ExchangeRecord(step, weight, 0.5, 10, 20, 10, horizon)


def test_recorded_steps_multiply_where_there_are_no_weights():
    tables = SparseTables(np.ones(5), np.ones(7), 0.5, "packed", joint=False, seed=0)
    dynamic = DynamicSparseTraining(update_interval=5, end_step=20, horizon=2)
    dynamic.set_model(mf.MF(5, 7, tables, 4))
    dynamic.params = {"epochs": 4, "steps": 5}
    along = Explorations(dynamic)
    assert macs.summed(along.macs(20, SIZE).values()) == macs.NO_MACS
    # Two tables, which are recorded in the same steps: 2, then 3.
    for step, horizon in ((5, 2), (10, 3)):
        dynamic.records += [_record(step, name, horizon) for name in ("users", "items")]
    taken = along.macs(20, SIZE)["exploration"]
    assert taken.backward == 5 * macs.elsewhere(dynamic.model, SIZE) > 0
    assert (taken.forward, taken.optimizer) == (0, 0)


def test_spells_count_at_the_density_that_there_was(monkeypatch):
    densities = iter([1.0, 0.5, 0.25])
    monkeypatch.setattr(
        macs, "of_steps", lambda model: {"dot": LayerMacs(per_pair=next(densities))}
    )
    spells = Spells()
    spells.end(10, None)  # ten steps at 1,
    spells.end(30, None)  # twenty at a half,
    again = Spells()
    again.restore(json.loads(json.dumps(spells.state())))
    (taken,) = again.macs(None, 70, SIZE).values()  # and forty at a quarter
    assert taken == (30 * 6, 2 * 30 * 6, 0)
