"""Tables as an exported graph stores them: full, half or int8 precision.

Every class answers `rows` in float32 and decodes only what was asked for, by
GATHER: the converter has no SLICE for int16. Decoding must depend on a value
known at run time only (an id, a loop's counter): the converter folds the
decoding of a whole constant back into a float32 table. For the same reason
half precision is stored as int16 bits: the converter widens a float16 constant
before it is gathered, which halves the file and doubles the memory.
"""

import abc

import numpy as np
import tensorflow as tf

from dsl_tf.export.quantize import half_bits, quantize_rows


class Table(tf.Module, abc.ABC):
    """A frozen matrix, stored as parts that have a row for each of its rows.

    Args:
      *parts: arrays of one length, the number of rows.
    """

    def __init__(self, *parts: np.ndarray):
        super().__init__()
        self.parts = [tf.Variable(part, trainable=False) for part in parts]

    @abc.abstractmethod
    def decode(self, *parts: tf.Tensor) -> tf.Tensor:
        """The rows, float32 [n, width], whose stored parts are given."""

    @property
    def nbytes(self) -> int:
        """Bytes of the stored parts."""
        return sum(nbytes(part) for part in self.parts)

    def rows(self, ids: tf.Tensor) -> tf.Tensor:
        """The rows of valid ids: int [n] to float32 [n, width]."""
        return self.decode(*(tf.gather(part, ids) for part in self.parts))


class Float32Table(Table):
    """The weights as they are."""

    def decode(self, *parts: tf.Tensor) -> tf.Tensor:
        (weights,) = parts
        return weights


class Float16Table(Table):
    """The weights in half precision, as int16 bits.

    Args:
      table: float32 [rows, width].
    """

    def __init__(self, table: np.ndarray):
        super().__init__(half_bits(table))

    def decode(self, *parts: tf.Tensor) -> tf.Tensor:
        (bits,) = parts
        return tf.cast(tf.bitcast(bits, tf.float16), tf.float32)


class Int8Table(Table):
    """The weights as int8 codes times the scale of their row.

    Args:
      table: float32 [rows, width].
    """

    def __init__(self, table: np.ndarray):
        super().__init__(*quantize_rows(table))

    def decode(self, *parts: tf.Tensor) -> tf.Tensor:
        codes, scale = parts
        return tf.cast(codes, tf.float32) * scale[:, None]


def nbytes(variable: tf.Variable) -> int:
    """Bytes of a variable's elements."""
    return int(variable.shape.num_elements() * variable.dtype.size)


def narrow(values: np.ndarray) -> np.ndarray:
    """The same integers as int16 where they all fit, else as int32."""
    limits = np.iinfo(np.int16)
    fits = values.size == 0 or (
        values.min() >= limits.min and values.max() <= limits.max
    )
    return values.astype(np.int16 if fits else np.int32)
