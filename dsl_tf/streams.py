"""One seed, many random streams that never meet.

Every random number in the package is a pure function of (seed, stream name,
step). So a run resumed in the middle draws what it would have drawn, and
adding a stream changes no other one.
"""

import zlib

import numpy as np


def key(seed: int, stream: str) -> int:
    """A 31-bit key of a stream, for the first word of a stateless TF seed.

    Args:
      seed: the run's seed.
      stream: the stream's name, such as `"negatives"`.

    Returns:
      An int in [0, 2**31). It is the same in every process: `zlib.crc32` is
      not salted, as `hash` is.
    """
    return zlib.crc32(f"{seed}/{stream}".encode()) & 0x7FFFFFFF


def generator(seed: int, stream: str) -> np.random.Generator:
    """A NumPy generator of a stream."""
    return np.random.default_rng([seed, zlib.crc32(stream.encode())])
