"""Recommendations by raw ids: asked for, and written out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
from rich.console import Console

from dsl_tf.errors import UserError
from dsl_tf.export.saved_model import ServingModule
from dsl_tf.files import replacing
from dsl_tf.reports import tables
from dsl_tf.types import Split

_USERS_AT_ONCE = 256


def answers(
    module: ServingModule, split: Split, raw_user_ids: Sequence[str] | None
) -> pd.DataFrame:
    """Top-k items of users.

    Args:
      module: ranks, for users and items by their row numbers.
      split: has their raw ids.
      raw_user_ids: raw ids, or None for all users.

    Returns:
      Columns `user`, `rank` (from 1), `item`, `score`; raw ids.

    Raises:
      UserError: an id that the split does not have.
    """
    rows = pd.Index(split.user_ids)
    wanted = split.user_ids if raw_user_ids is None else raw_user_ids
    users = rows.get_indexer(pd.Index(wanted, dtype=rows.dtype))
    for raw_id, row in zip(wanted, users, strict=True):
        if row < 0:
            raise UserError(
                "`--user` must be an id of the training data; it has "
                f"{split.num_users} users, such as {split.user_ids[0]!r}. "
                f"Received: {raw_id!r}."
            )
    found = [
        module.recommend(tf.constant(users[start : start + _USERS_AT_ONCE], tf.int64))
        for start in range(0, len(users), _USERS_AT_ONCE)
    ]
    items = np.concatenate([each["item_ids"] for each in found])
    scores = np.concatenate([each["scores"] for each in found])
    count, width = items.shape
    frame = pd.DataFrame(
        {
            "user": pd.Series(wanted).repeat(width).to_numpy(),
            "rank": list(range(1, width + 1)) * count,
            "item": split.item_ids[np.maximum(items.reshape(-1), 0)],
            "score": scores.reshape(-1),
        }
    )
    return frame[items.reshape(-1) >= 0].reset_index(drop=True)


def write(recommendations: pd.DataFrame, output: Path | None) -> None:
    """Writes recommendations.

    Args:
      recommendations: columns `user` (raw id), `rank` (from 1), `item` (raw
        id) and `score`.
      output: a .csv, .parquet or .json file, replaced if there; None prints.

    Raises:
      UserError: the file's ending is another one.
    """
    if output is None:
        rows = [
            [row.user, str(row.rank), row.item, f"{row.score:.4f}"]
            for row in recommendations.itertuples(index=False)
        ]
        tables.show(Console(), list(recommendations.columns), rows)
        return
    if output.suffix not in (".csv", ".parquet", ".json"):
        raise UserError(
            f"`--output` must end in .csv, .parquet or .json. Received: {output}"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as partial:
        match output.suffix:
            case ".csv":
                recommendations.to_csv(partial, index=False)
            case ".parquet":
                recommendations.to_parquet(partial, index=False)
            case ".json":
                recommendations.to_json(partial, orient="records", force_ascii=False)
