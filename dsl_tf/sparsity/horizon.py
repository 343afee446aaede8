"""How many steps of gradient an exploration needs."""

import math
import numbers

from dsl_tf.errors import UserError


def check(horizon: int | str, update_interval: int) -> None:
    """Refuse a horizon that no interval has room for.

    Raises:
      UserError: neither `"auto"` nor a number of steps from 1 to `update_interval`.
    """
    if horizon != "auto" and not (
        isinstance(horizon, numbers.Integral) and 1 <= horizon <= update_interval
    ):
        raise UserError(
            "`horizon` must be 'auto' or a number of steps from 1 to "
            f"`update_interval`. Received: horizon={horizon!r}, "
            f"update_interval={update_interval}."
        )


def rows_wanted(asked: float, inactive_per_row: float) -> float:
    """Rows with a gradient that offer twice the positions asked for.

    Args:
      asked: k, positions to exchange.
      inactive_per_row: mean number of inactive positions of a row.
    """
    return 2 * asked / max(inactive_per_row, 1e-9)


def batches_wanted(rows: int, touched: int, wanted: float) -> float:
    """Batches until `wanted` rows are expected to have a gradient.

    If a batch touches u of n rows at random, h batches touch about
    n (1 - (1 - u/n)^h). Real data touch popular rows again and again, so this
    is a lower bound; an exploration that finds too little asks for more.

    Args:
      rows: n, rows of the weight.
      touched: u, rows that one batch touched, at least 1.
      wanted: rows that shall be touched.

    Returns:
      A whole number of batches, at least 1; infinity where only all rows
      would do.
    """
    if touched >= min(wanted, rows):
        return 1
    if wanted >= rows:
        return math.inf
    return math.ceil(math.log1p(-wanted / rows) / math.log1p(-touched / rows))
