"""How large a `.tflite` file will be, before there is a trained model for it."""

import dataclasses
import math
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse

from dsl_tf import files
from dsl_tf.export import tflite
from dsl_tf.export.codings import Coded, Extent, encode
from dsl_tf.export.device import DeviceModule
from dsl_tf.export.frozen import FrozenModel
from dsl_tf.export.layouts import extent_bytes, smallest
from dsl_tf.export.quantize import INT4_LIMIT

#: By the coding and the layouts of the tables, bytes of the rest of a file.
Rests = dict[tuple[str, ...], int]


class DeviceSizes:
    """Sizes of a model's `.tflite` file by the coding and the density of its tables.

    Bytes of tables follow from a formula. Those of the rest depend on the layouts that
    the tables get, and are found by making a file of tables filled with any numbers.

    Args:
      frozen: a model of the shape in question, trained or not.
      k: length of a ranking.
      layout: of the item table, as `DeviceModule` has it.
      with_users: whether the user table is in the file.
      rests: what was found of the rest so far, if it is to be taken as well for this
        model, which differs from those before in the width of its tables: that
        changes it by some bytes only.
    """

    def __init__(
        self,
        frozen: FrozenModel,
        k: int,
        layout: str,
        with_users: bool,
        rests: Rests | None = None,
    ) -> None:
        self._frozen = frozen
        self._k = k
        self._with_users = with_users
        self._layouts = {"items": layout if frozen.queries else "small"}
        if with_users:
            self._layouts["users"] = "small"
        self._rests = {} if rests is None else rests
        self._codes: dict[tuple[str, str], Coded] = {}

    @property
    def propagated(self) -> bool:
        """Whether the tables are propagated rows: dense, whatever layer 0 is."""
        return self._frozen.graph is not None

    @property
    def positions(self) -> int:
        """Positions of the tables in the file, rows times width."""
        return sum(rows * width for rows, width in self._shapes().values())

    def tables(self, coding: str, nnz: int) -> int:
        """Bytes of the tables as stored, with so many non-zeros among all of them."""
        return sum(
            extent_bytes(extent, self._layouts[name])
            for name, extent in self._extents(coding, nnz).items()
        )

    def file(self, coding: str, nnz: int) -> int:
        """Bytes of the file with so many non-zeros in its tables."""
        layouts = [
            smallest(extent, self._layouts[name]).__name__
            for name, extent in self._extents(coding, nnz).items()
        ]
        key = (coding, *layouts)
        if key not in self._rests:
            self._rests[key] = self._rest(coding, nnz)
        rest = self._rests[key] + self._frozen.network_bytes
        return self.tables(coding, nnz) + rest

    def most(self, coding: str, limit: int) -> int:
        """The most non-zeros of a file of at most `limit` bytes; -1 where none fits."""
        fits, too_many = -1, self.positions + 1
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            small = self.tables(coding, middle) <= limit
            if small and self.file(coding, middle) <= limit:
                fits = middle
            else:
                too_many = middle
        return fits

    def _rest(self, coding: str, nnz: int) -> int:
        """Bytes of a file that are neither of tables nor of the network."""
        tables = {}
        for seed, (name, extent) in enumerate(self._extents(coding, nnz).items()):
            steps = self._coded(name, coding).steps
            tables[name] = _filled(extent.rows, extent.width, extent.nnz, seed, steps)
        model = dataclasses.replace(self._frozen, hashed={}, **tables)
        layout = self._layouts["items"]
        module = DeviceModule(model, coding, self._k, layout, self._with_users)
        with tempfile.TemporaryDirectory() as folder:
            path = tflite.convert(module, Path(folder) / "model.tflite")
            parts = module.table_bytes + self._frozen.network_bytes
            return files.size(path) - parts

    def _shapes(self) -> dict[str, tuple[int, int]]:
        return {name: getattr(self._frozen, name).shape for name in self._layouts}

    def _extents(self, coding: str, nnz: int) -> dict[str, Extent]:
        """Of the tables, which all have one density."""
        share = nnz / self.positions
        return {
            name: self._coded(name, coding).extent._replace(
                nnz=round(share * math.prod(shape))
            )
            for name, shape in self._shapes().items()
        }

    def _coded(self, name: str, coding: str) -> Coded:
        """A table as it is: whether its rows have scales is that of the trained one."""
        key = name, coding
        if key not in self._codes:
            table = getattr(self._frozen, name)
            self._codes[key] = encode(table, coding, self._frozen.roundings)
        return self._codes[key]


def _filled(
    rows: int, width: int, nnz: int, seed: int, steps: np.ndarray | None
) -> scipy.sparse.csr_matrix:
    """A table with so many non-zeros, as even among its rows as can be.

    They are random, as the converter does not store a constant of equal numbers, nor
    the same constant twice; and whole multiples of the steps of their columns, if
    these have some.
    """
    ends = np.arange(rows + 1, dtype=np.int64) * nnz // rows
    columns = np.arange(nnz) - np.repeat(ends[:-1], np.diff(ends))
    rng = np.random.default_rng(seed)
    if steps is None:
        values = rng.uniform(0.5, 1, nnz).astype(np.float32)
    else:
        values = rng.integers(1, 1 + INT4_LIMIT, nnz) * steps[columns % width]
    return scipy.sparse.csr_matrix(
        (values, columns.astype(np.int32), ends.astype(np.int32)), (rows, width)
    )
