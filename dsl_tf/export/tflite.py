"""`.tflite` files: convert with TensorFlow, run with LiteRT."""

import os
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from dsl_tf.errors import UserError
from dsl_tf.export.compaction import compact
from dsl_tf.export.console import quiet_tensorflow
from dsl_tf.export.device import DeviceModule
from dsl_tf.export.saved_model import write_signatures
from dsl_tf.files import replacing

#: File name to the coding of its tables. The interaction's weights, some
#: kilobytes, stay float32 in all of them: the converter's narrow weights are
#: widened at load, which would save little on disk and nothing in memory.
FILES = {
    "model.tflite": "float32",
    "model_fp16.tflite": "float16",
    "model_int8.tflite": "int8",
    "model_int4.tflite": "int4",
}


#: Bytes of tables in a file, whose offsets have 31 bits; operations take some too.
MOST_BYTES = 2**31 - 2**20


def convert(module: DeviceModule, path: Path) -> Path:
    """Write a `.tflite` file with the module's signatures.

    Args:
      module: what the file holds.
      path: the file; it appears when it is complete.

    Raises:
      UserError: it would be of 2 GiB or more, which the format cannot hold.
      Exception: the converter's, if the interaction needs an operation that is
        not built into TFLite. What it wrote to the terminal is printed.
    """
    if (held := module.table_bytes + module.history_bytes) >= MOST_BYTES:
        raise UserError(
            "A .tflite file must be below 2 GiB: fewer bits (`export.formats`), fewer "
            "weights (`export.table_bytes`) or no users (`export.users=none`) make it "
            f"smaller. Received: {held:,} bytes of tables for {path.name}."
        )
    signatures = module.signatures()
    with tempfile.TemporaryDirectory() as folder:
        write_signatures(module, signatures, Path(folder))
        with quiet_tensorflow():
            converter = tf.lite.TFLiteConverter.from_saved_model(
                folder, signature_keys=list(signatures)
            )
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
            content = converter.convert()
    with replacing(path) as partial:
        partial.write_bytes(compact(content))
    return path


def run(path: Path, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Call a signature of a `.tflite` file once.

    Args:
      path: the file, which is mapped, not copied.
      signature: such as `"recommend"`.
      **inputs: arrays with the shapes and dtypes of the signature.

    Returns:
      Output name to array.

    Raises:
      ValueError: no such signature or input.
    """
    # Here and not above: its libraries cost memory that training has no use for.
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=os.fspath(path),
        # The default delegate repacks weights and is slower on loops.
        experimental_op_resolver_type=(
            OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        ),
    )
    interpreter.allocate_tensors()
    outputs = interpreter.get_signature_runner(signature)(**inputs)
    return {name: np.array(value) for name, value in outputs.items()}
