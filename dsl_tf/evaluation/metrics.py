"""Ranking metrics of each user, from where the hits stand in the top K.

All are binary: an item is held out for the user or it is not. Hits come as a
bool matrix [n, K], best rank first, K at least the cut-off; `held_out` int64
[n] is |T|, how many items are held out for each user, at least one.
"""

from collections.abc import Callable, Sequence

import numpy as np

from dsl_tf.types import Interactions

Metric = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def hits(
    users: np.ndarray, items: np.ndarray, held_out: Interactions, num_items: int
) -> np.ndarray:
    """Which recommended items are held out for the user.

    Args:
      users: int32 [n], row numbers.
      items: int32 [n, K], recommended to them; -1 for none.
      held_out: the interactions to find again.
      num_items: size of the catalogue.

    Returns:
      bool [n, K].
    """
    # One int64 key for a pair.
    found = users[:, None].astype(np.int64) * num_items + items
    wanted = held_out.users.astype(np.int64) * num_items + held_out.items
    return np.isin(found, wanted) & (items >= 0)


def recall(hits: np.ndarray, held_out: np.ndarray, cutoff: int) -> np.ndarray:
    """Share of the held-out items found, hits / |T|, float64 [n]."""
    return hits[:, :cutoff].sum(axis=1) / held_out


def recall_capped(hits: np.ndarray, held_out: np.ndarray, cutoff: int) -> np.ndarray:
    """The "recall" of Mult-VAE's literature, hits / min(K, |T|), float64 [n]."""
    return hits[:, :cutoff].sum(axis=1) / np.minimum(cutoff, held_out)


def precision(hits: np.ndarray, held_out: np.ndarray, cutoff: int) -> np.ndarray:
    """Share of the list that is held out, hits / K, float64 [n]."""
    del held_out
    return hits[:, :cutoff].sum(axis=1) / cutoff


def hit(hits: np.ndarray, held_out: np.ndarray, cutoff: int) -> np.ndarray:
    """1 with any hit, else 0, float64 [n]; also called HR."""
    del held_out
    return np.any(hits[:, :cutoff], axis=1).astype(np.float64)


def ndcg(hits: np.ndarray, held_out: np.ndarray, cutoff: int) -> np.ndarray:
    """DCG over the DCG of min(K, |T|) hits at the top, float64 [n].

    DCG is the sum of 1 / log2(rank + 1) over the ranks (from 1) of the hits.
    """
    discount = 1.0 / np.log2(np.arange(cutoff) + 2.0)
    ideal = np.cumsum(discount)[np.minimum(cutoff, held_out) - 1]
    return hits[:, :cutoff] @ discount / ideal


def mrr(hits: np.ndarray, held_out: np.ndarray, cutoff: int) -> np.ndarray:
    """1 / rank of the first hit within K, 0 without one, float64 [n]."""
    del held_out
    top = hits[:, :cutoff]
    return np.where(top.any(axis=1), 1.0 / (top.argmax(axis=1) + 1.0), 0.0)


#: Every metric of a user, by the name it has in tables before "@K".
METRICS: dict[str, Metric] = {
    "recall": recall,
    "ndcg": ndcg,
    "hit": hit,
    "precision": precision,
    "mrr": mrr,
    "recall_capped": recall_capped,
}


def per_user(
    hits: np.ndarray, held_out: np.ndarray, cutoffs: Sequence[int]
) -> dict[str, np.ndarray]:
    """All metrics at all cut-offs: `"recall@20"` to float64 [n], and so on."""
    return {
        f"{name}@{cutoff}": metric(hits, held_out, cutoff)
        for cutoff in cutoffs
        for name, metric in METRICS.items()
    }


def coverage(items: np.ndarray, cutoff: int, num_items: int) -> float:
    """Share of the catalogue in anyone's top K; `items` as in `hits`."""
    recommended = np.unique(items[:, :cutoff])
    return float((recommended >= 0).sum() / num_items)
