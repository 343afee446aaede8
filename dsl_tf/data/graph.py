"""The bipartite graph of users and items."""

import numpy as np
import scipy.sparse

from dsl_tf.types import Interactions


def adjacency(
    train: Interactions, num_users: int, num_items: int
) -> scipy.sparse.csr_matrix:
    """The symmetric normalised adjacency of NGCF and LightGCN.

    Â = D^-1/2 A D^-1/2 with A = [[0, R], [R^T, 0]] and R the binary matrix of
    interactions; no self loops (LightGCN, He et al. 2020, eq. 7 and 8). A node
    without interactions has an empty row.

    Args:
      train: training interactions.
      num_users: N, rows of the user vocabulary.
      num_items: M, rows of the item vocabulary.

    Returns:
      float32 [N + M, N + M], users first, int32 indices, columns ascending.
    """
    matrix = train.csr(num_users, num_items)
    user, item = (
        np.divide(1.0, np.sqrt(degree), where=degree > 0, out=np.zeros(len(degree)))
        for degree in degrees(train, num_users, num_items)
    )
    matrix = scipy.sparse.diags(user) @ matrix @ scipy.sparse.diags(item)
    graph = scipy.sparse.bmat([[None, matrix], [matrix.T, None]], format="csr")
    graph = graph.astype(np.float32)
    graph.resize(num_users + num_items, num_users + num_items)
    graph.sort_indices()
    return graph


def degrees(
    train: Interactions, num_users: int, num_items: int
) -> tuple[np.ndarray, np.ndarray]:
    """Interactions of each user, int64 [N], and of each item, int64 [M]."""
    return (
        np.bincount(train.users, minlength=num_users),
        np.bincount(train.items, minlength=num_items),
    )
