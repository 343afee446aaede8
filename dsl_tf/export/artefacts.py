"""All files that a finished run hands out."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from dsl_tf import files
from dsl_tf.backbones._autoencoder import Autoencoder
from dsl_tf.backbones.base import Backbone
from dsl_tf.backbones.lightgcn import LightGCN
from dsl_tf.errors import UserError
from dsl_tf.evaluation.ranking import Score
from dsl_tf.export import saved_model, tflite
from dsl_tf.export.device import DeviceModule
from dsl_tf.export.factored import FactoredModule
from dsl_tf.export.frozen import FrozenModel, freeze
from dsl_tf.export.layouts import LAYOUTS
from dsl_tf.export.magnitude import within_bytes
from dsl_tf.export.saved_model import ServingModule
from dsl_tf.export.vocabulary import write_vocabulary
from dsl_tf.types import Split

SAVED_MODEL, FACTORED = "saved_model", "saved_model_factored"
#: Formats of a server, to the folder and what is in it.
SERVED: dict[str, type[ServingModule]] = {
    SAVED_MODEL: ServingModule,
    FACTORED: FactoredModule,
}
#: Values of `export.formats`, to the file or folder that each of them writes.
FORMATS = {
    "saved_model": SAVED_MODEL,
    "saved_model_factored": FACTORED,
    "tflite": "model.tflite",
    "tflite_fp16": "model_fp16.tflite",
    "tflite_int8": "model_int8.tflite",
    "tflite_int4": "model_int4.tflite",
}
#: Those that are written where nothing else is asked for.
DEFAULT_FORMATS = ("saved_model", "tflite", "tflite_fp16", "tflite_int8")

#: Scores as an evaluation asks for them, to metrics.
Measure = Callable[[Score], Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class ExportedFiles:
    """What an export wrote; the entries of `cost.json`.

    Attributes:
      files: name inside the run folder to bytes; `saved_model` is the sum of
        its files.
      files_detail: model file to its bytes by part: `tables` (vectors of users and
        items, and rows that user vectors are made of, as stored), `histories`,
        `network` (weights of the interaction and of the encoder's layers), `other`
        (popularity, graph): what is left.
      files_metrics: model file to the metrics of the rankings that its numbers
        give; of files with users in them, if it was measured.
    """

    files: dict[str, int]
    files_detail: dict[str, dict[str, int]]
    files_metrics: dict[str, dict[str, float]]


def export_model(
    backbone: Backbone,
    split: Split,
    folder: Path,
    *,
    k: int = 20,
    users: Literal["all", "none"] = "all",
    layout: str = "small",
    formats: Sequence[str] = DEFAULT_FORMATS,
    table_bytes: int = 0,
    limits: Mapping[str, int] | None = None,
    seed: int = 0,
    measure: Measure | None = None,
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
      table_bytes: what the tables of each file may take; the smallest weights are
        left out of it. 0: they are whole, as they always are in
        `saved_model_factored`.
      limits: `.tflite` file to the bytes that it may take; the smallest weights are
        left out of it.
      seed: the seed of the evaluation's tie-break.
      measure: finds the metrics of what each file's numbers score.

    Raises:
      UserError: see `check` and `check_backbone`; a raw id has a line break in it;
        or the tables do not fit.
    """
    check(k, users, layout, formats, table_bytes)
    check_backbone(backbone, formats, table_bytes)
    written = {
        path.relative_to(folder).as_posix(): files.size(path)
        for path in write_vocabulary(split, folder)
    }
    detail, metrics = {}, {}
    frozen = freeze(backbone, split, seed)
    device_tables = {"items": layout if frozen.queries else "small"}
    if users == "all":
        device_tables["users"] = "small"

    def fitted(coding: str, layouts: Mapping[str, str], most: int) -> FrozenModel:
        return within_bytes(frozen, coding, layouts, most) if most else frozen

    def device(name: str, most: int) -> DeviceModule:
        coding = tflite.FILES[name]
        model = fitted(coding, device_tables, most)
        return DeviceModule(model, coding, k, layout, users == "all")

    module: ServingModule | DeviceModule
    for name in (FORMATS[format_name] for format_name in formats):
        path = folder / name
        if name in tflite.FILES:
            module = device(name, table_bytes)
            tflite.convert(module, path)
            limit = (limits or {}).get(name, math.inf)
            # Not always at the first time: layouts differ in their operations.
            while (size := files.size(path)) > limit:
                module = device(name, module.table_bytes - (size - int(limit)))
                tflite.convert(module, path)
        else:
            most = 0 if name == FACTORED else table_bytes
            model = fitted("float32", ServingModule.LAYOUTS, most)
            module = SERVED[name](model, k)
            saved_model.save(module, path)
        written[name] = files.size(path)
        parts = {
            "tables": module.table_bytes,
            "histories": module.history_bytes,
            "network": frozen.network_bytes,
        }
        detail[name] = parts | {"other": written[name] - sum(parts.values())}
        if measure is not None and module.users is not None:
            metrics[name] = dict(measure(module.scorer()))
    return ExportedFiles(written, detail, metrics)


def check(
    k: int, users: str, layout: str, formats: Sequence[str], table_bytes: int
) -> None:
    """Refuses what no backbone can be exported with, to know before training.

    Raises:
      UserError: an unknown format, layout or `users`, or a number out of range.
    """
    if k < 1:
        raise UserError(f"`export.k` must be at least 1. Received: export.k={k}.")
    if table_bytes < 0:
        raise UserError(
            "`export.table_bytes` must be at least 0. "
            f"Received: export.table_bytes={table_bytes}."
        )
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


def check_backbone(
    backbone: Backbone, formats: Sequence[str], table_bytes: int
) -> None:
    """Refuses exports that a backbone has no use for, to know before training.

    Raises:
      UserError: formats and backbone, or budget and backbone, do not go together.
    """
    if FACTORED in formats and not isinstance(backbone, LightGCN):
        raise UserError(
            f"`export.formats` may have {FACTORED} where vectors are propagated over "
            f"a graph (model.name=lightgcn). Received: model.name={backbone.name}."
        )
    if table_bytes and isinstance(backbone, Autoencoder):
        raise UserError(
            "`export.table_bytes` must be 0 where user vectors are made of histories. "
            f"Received: model.name={backbone.name}, export.table_bytes={table_bytes}."
        )


def check_limit(backbone: Backbone) -> None:
    """Refuses a limit in bytes for a file that cannot be held to it.

    Raises:
      UserError: the backbone's vectors are made of more than its tables of vectors.
    """
    if isinstance(backbone, Autoencoder):
        raise UserError(
            "`budget.bytes` must be 0 where user vectors are made of histories. "
            f"Received: model.name={backbone.name}."
        )
