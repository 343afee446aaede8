"""All files that a finished run hands out."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from dsl_tf import files
from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import UserError
from dsl_tf.export import saved_model, tflite
from dsl_tf.export.device import DeviceModule
from dsl_tf.export.frozen import FrozenModel, freeze
from dsl_tf.export.layouts import LAYOUTS
from dsl_tf.export.saved_model import ServingModule
from dsl_tf.export.vocabulary import write_vocabulary
from dsl_tf.types import Split

SAVED_MODEL = "saved_model"
#: Values of `export.formats`, to the file or folder that each of them writes.
FORMATS = {
    "saved_model": SAVED_MODEL,
    "tflite": "model.tflite",
    "tflite_fp16": "model_fp16.tflite",
    "tflite_int8": "model_int8.tflite",
    "tflite_int4": "model_int4.tflite",
}
#: Those that are written where nothing else is asked for.
DEFAULT_FORMATS = ("saved_model", "tflite", "tflite_fp16", "tflite_int8")


@dataclasses.dataclass(frozen=True)
class ExportedFiles:
    """What an export wrote; the two entries of `cost.json`.

    Attributes:
      files: name inside the run folder to bytes; `saved_model` is the sum of
        its files.
      files_detail: model file to its bytes by part: `tables` (vectors of users and
        items, and rows that user vectors are made of, as stored), `histories`,
        `network` (weights of the interaction and of the encoder's layers), `other`
        (popularity, graph): what is left.
    """

    files: dict[str, int]
    files_detail: dict[str, dict[str, int]]


def export_model(
    backbone: Backbone,
    split: Split,
    folder: Path,
    *,
    k: int = 20,
    users: Literal["all", "none"] = "all",
    layout: str = "small",
    formats: Sequence[str] = DEFAULT_FORMATS,
    seed: int = 0,
) -> ExportedFiles:
    """Write a trained backbone for servers and devices.

    Each file or folder replaces the one before it when it is complete, so an
    export that was killed is simply done again.

    Args:
      backbone: a trained backbone over the split's vocabulary.
      split: brings the histories, the popularity and the raw ids.
      folder: the run folder.
      k: length of a ranking.
      users: `"none"` leaves the user table out of the `.tflite` files, which
        then have the signatures `recommend_vector`, `item_vector` and, of an
        autoencoder, `from_history` only.
      layout: of item tables in the `.tflite` files, one of `LAYOUTS`: fewest
        bytes, or fast rankings of a backbone that scores by inner products.
      formats: which of `FORMATS` to write.
      seed: the seed of the evaluation's tie-break.

    Raises:
      UserError: an unknown format, layout, `users` or `k`, or a raw id with a line
        break in it.
    """
    _check(k, users, layout, formats)
    written = {
        path.relative_to(folder).as_posix(): files.size(path)
        for path in write_vocabulary(split, folder)
    }
    detail = {}
    frozen = freeze(backbone, split, seed)
    for name in (FORMATS[format_name] for format_name in formats):
        path = folder / name
        if name == SAVED_MODEL:
            module = ServingModule(frozen, k)
            saved_model.save(module, path)
            parts = _parts(module.table_bytes, module.history_bytes, frozen)
        else:
            coding = tflite.FILES[name]
            device = DeviceModule(frozen, coding, k, layout, users == "all")
            tflite.convert(device, path)
            parts = _parts(device.table_bytes, 0, frozen)
        written[name] = files.size(path)
        detail[name] = parts | {"other": written[name] - sum(parts.values())}
    return ExportedFiles(written, detail)


def _parts(tables: int, histories: int, frozen: FrozenModel) -> dict[str, int]:
    return {
        "tables": tables,
        "histories": histories,
        "network": frozen.network_bytes,
    }


def _check(k: int, users: str, layout: str, formats: Sequence[str]) -> None:
    if k < 1:
        raise UserError(f"`export.k` must be at least 1. Received: export.k={k}.")
    if users not in ("all", "none"):
        raise UserError(
            f"`export.users` must be all or none. Received: export.users={users}."
        )
    if layout not in LAYOUTS:
        raise UserError(
            f"`export.layout` must be one of {', '.join(LAYOUTS)}. "
            f"Received: {layout!r}."
        )
    for name in formats:
        if name not in FORMATS:
            raise UserError(
                f"`export.formats` must be some of {', '.join(FORMATS)}. "
                f"Received: {name!r}."
            )
