"""Where the numbers of a sparse weight live: the only place that knows how."""

from dsl_tf.plugins import choose
from dsl_tf.storage.base import SparseWeight
from dsl_tf.storage.masked import MaskedWeight
from dsl_tf.storage.packed import PackedWeight

_STORAGES: dict[str, type[SparseWeight]] = {
    "masked": MaskedWeight,
    "packed": PackedWeight,
}


def names() -> list[str]:
    """The names of the storages."""
    return list(_STORAGES)


def find(name: str) -> type[SparseWeight]:
    """The storage class of a name.

    Raises:
      UserError: no such storage; the message lists those that exist.
    """
    return choose(_STORAGES, name, "storage")
