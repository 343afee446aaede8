"""A budget in bytes: what a method makes of it before it is trained.

The budget is that of one `.tflite` file. Precision is the cheapest that a file can
give up, so the value type is the first of the config's formats, from float32 down,
whose dense tables fit; where none fits it is the last, and the method gives up what is
its own to give up: weights, columns or bits. The export leaves out the last few of the
smallest weights where the file of the trained model is still too large.

The file of a graph model has its propagated rows, which are dense whatever the method
does to layer 0: there every method gives up columns, and layer 0 stays dense.
"""

import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from ml_collections import config_dict

from dsl_tf import plugins
from dsl_tf.errors import UserError, check_keys
from dsl_tf.export.artefacts import FORMATS, check_limit
from dsl_tf.export.frozen import freeze
from dsl_tf.export.sizes import DeviceSizes, Rests
from dsl_tf.export.tflite import FILES
from dsl_tf.layers.tables import SparseTables
from dsl_tf.methods._models import make_backbone
from dsl_tf.methods._narrow import narrowed, widths
from dsl_tf.types import Split

#: From the whole config, a split, a seed and what was found of the rest of files to
#: keys of the config, with dots, and their values; `budget.format` is one of them.
WithinBytes = Callable[
    [config_dict.ConfigDict, Split, int, Rests | None], dict[str, Any]
]


def picked(
    config: config_dict.ConfigDict,
    method: ModuleType,
    split: Split,
    seed: int,
    rests: Rests | None = None,
) -> dict[str, Any]:
    """What `budget.bytes` picks.

    Args:
      config: the whole config.
      method: the module of a method; its `within_bytes` picks.
      split: what is trained on.
      seed: of the run.
      rests: what was found of the rest of files so far, where some bytes more or less
        do not matter, as in a plan: what is found goes there too. Such rests are of
        models that differ in their widths alone.

    Raises:
      UserError: the method, the backbone or the formats have no use for a budget; or
        it is smaller than any file.
    """
    within_bytes: WithinBytes | None = getattr(method, "within_bytes", None)
    if within_bytes is None:
        raise UserError(
            "`budget.bytes` needs a method that can be held to a number of bytes: "
            f"{', '.join(_known())}. Received: method.name={config.method.name}."
        )
    return within_bytes(config, split, seed, rests)


def by_sparsity(
    config: config_dict.ConfigDict,
    split: Split,
    seed: int,
    rests: Rests | None = None,
) -> dict[str, Any]:
    """Fewer weights, in rows as wide as leaves `budget.least_density` of them.

    Widths are halved until so many are left. Where all are, rows are as wide as fits
    with all of them. Of propagated rows fewer columns: a sparse layer 0 takes nothing
    off the file.
    """
    density = config.budget.least_density
    check_keys(
        "budget", config.budget, least_density=(0 < density <= 1, "above 0, at most 1")
    )
    limit, formats = config.budget.bytes, _formats(config)
    exact, rests = rests is None, Rests() if rests is None else rests
    tried: list[DeviceSizes] = []
    for changes, narrower in _halvings(config):
        sizes = _sizes(narrower, split, seed, rests)
        tried = [*tried[-1:], sizes]
        if sizes.propagated or _first_dense(sizes, formats, limit) is not None:
            share, name = _widest(config, split, seed, formats, rests, exact)
            narrow = _changes(narrowed(config, share)) if share < 1 else {}
            return {**narrow, "budget.format": name, "sparsity.target": 0.0}
        coding, least = _coding(formats[-1]), max(1, int(density * sizes.positions))
        if sizes.tables(coding, least) > limit:
            continue
        nnz = sizes.most(coding, limit)
        if nnz >= least:
            sparsity = 1.0 - nnz / sizes.positions
            return {
                **changes,
                "budget.format": formats[-1],
                "sparsity.target": sparsity,
            }
    smallest = [_least(each, formats) for each in tried]
    raise _too_small(config, min(sizes.file(coding, least), *smallest))


def by_width(
    config: config_dict.ConfigDict,
    split: Split,
    seed: int,
    rests: Rests | None = None,
) -> dict[str, Any]:
    """Fewer columns: `sparsity.target` is their share that goes."""
    share, name = _widest(config, split, seed, _formats(config), rests, rests is None)
    return {"budget.format": name, "sparsity.target": 1.0 - share}


def by_bits(
    config: config_dict.ConfigDict,
    split: Split,
    seed: int,
    rests: Rests | None = None,
) -> dict[str, Any]:
    """Fewer bits a weight, whatever formats the config has; `budget.format` says which.

    Of propagated rows fewer columns too. Their bits are the file's alone; layer 0,
    which is not in it, has eight in any case.
    """
    limit, bits = config.budget.bytes, {"tflite_int8": 8, "tflite_int4": 4}
    if asked := config.budget.format:
        bits = {asked: plugins.choose(bits, asked, "budget.format")}
    sizes = _sizes(config, split, seed, rests)
    others = [each for each in config.export.formats if each not in bits]
    if sizes.propagated:
        share, name = _widest(config, split, seed, [*bits], rests, rests is None)
        changes = {**_changes(narrowed(config, share)), "method.quantised.bits": 8}
    else:
        dense = _first_dense(sizes, [*bits], limit)
        if dense is None:
            raise _too_small(config, _least(sizes, [*bits]))
        name, changes = dense, {"method.quantised.bits": bits[dense]}
    return {**changes, "budget.format": name, "export.formats": (*others, name)}


def _widest(
    config: config_dict.ConfigDict,
    split: Split,
    seed: int,
    formats: list[str],
    rests: Rests | None,
    exact: bool,
) -> tuple[float, str]:
    """The most of the columns whose dense file fits, as a share, and its format.

    Args:
      config: the whole config.
      split: what is trained on.
      seed: of the run.
      formats: of files, the most precise first.
      rests: what was found of the rest of files so far, of all columns first.
      exact: whether the rest is found anew at the last widths, where it may take some
        bytes more.

    Raises:
      UserError: a single column is too many.
    """
    limit, rests = config.budget.bytes, Rests() if rests is None else rests
    dense = _first_dense(_sizes(config, split, seed, rests), formats, limit)
    if dense is not None:
        return 1.0, dense

    def sizes(columns: int, rests: Rests | None = None) -> DeviceSizes:
        return _sizes(narrowed(config, columns / widest), split, seed, rests)

    widest = max((config.model[key] for key in widths(config)), default=1)
    fits, too_wide = 0, widest
    while too_wide - fits > 1:
        middle = (fits + too_wide) // 2
        if _first_dense(sizes(middle, rests), formats, limit) is None:
            too_wide = middle
        else:
            fits = middle
    last = None if exact else rests
    while fits and (dense := _first_dense(sizes(fits, last), formats, limit)) is None:
        fits -= 1
    if dense is None:
        raise _too_small(config, min(_least(sizes(each), formats) for each in (1, 2)))
    return fits / widest, dense


def _changes(narrower: config_dict.ConfigDict) -> dict[str, int]:
    """The widths of a config, by their keys."""
    return {f"model.{key}": narrower.model[key] for key in widths(narrower)}


def _formats(config: config_dict.ConfigDict) -> list[str]:
    """The formats of the config that are `.tflite` files, the most precise first."""
    asked = config.budget.format
    formats = config.export.formats
    found = [name for name in FORMATS if name in formats and FORMATS[name] in FILES]
    if not found:
        raise UserError(
            "`budget.bytes` needs a .tflite file among `export.formats`. "
            f"Received: {', '.join(formats)}."
        )
    if asked and asked not in found:
        raise UserError(
            "`budget.format` must be one of the .tflite files of `export.formats`, "
            f"{', '.join(found)}. Received: {asked!r}."
        )
    return [asked] if asked else found


def _coding(name: str) -> str:
    return FILES[FORMATS[name]]


def _first_dense(sizes: DeviceSizes, formats: list[str], limit: int) -> str | None:
    """The first format that fits with all weights of its tables."""
    for name in formats:
        coding, nnz = _coding(name), sizes.positions
        if sizes.tables(coding, nnz) <= limit and sizes.file(coding, nnz) <= limit:
            return name
    return None


def _least(sizes: DeviceSizes, formats: list[str]) -> int:
    """Bytes of the smallest file with all weights of its tables.

    Rows of two columns may take a few less than those of one: of half precision and
    four bits two are stored together.
    """
    return min(sizes.file(_coding(name), sizes.positions) for name in formats)


def _halvings(
    config: config_dict.ConfigDict,
) -> Iterator[tuple[dict[str, int], config_dict.ConfigDict]]:
    """The config, then with its widths halved again and again, and what changed."""
    yield {}, config
    keys = widths(config)
    share = 1.0
    while any(config.model[key] * share > 1 for key in keys):
        share /= 2
        narrower = narrowed(config, share)
        yield _changes(narrower), narrower


def _sizes(
    config: config_dict.ConfigDict,
    split: Split,
    seed: int,
    rests: Rests | None = None,
) -> DeviceSizes:
    """Of the files of a model whose weights are few: only shapes are of interest."""
    method = plugins.find("dsl_tf.methods", config.method.name, "method")
    # Of no other format does a method that rounds in training change the bytes.
    rounding: Callable[..., dict[str, Any]]
    rounding = getattr(method, "rounding", lambda config, file: {})
    tables = SparseTables(
        split.activity(),
        split.popularity(),
        0.99,
        "packed",
        joint=False,
        seed=seed,
        rounding=rounding(config, "tflite_int4"),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rows without a weight
        model = make_backbone(split, config, tables, seed)
        check_limit(model)
        frozen = freeze(model, split, config.data.seed)
    with_users = config.export.users == "all"
    export = config.export
    return DeviceSizes(frozen, export.k, export.layout, with_users, rests)


def _too_small(config: config_dict.ConfigDict, smallest: int) -> UserError:
    return UserError(
        f"`budget.bytes` must be at least {smallest:,} for the method "
        f"{config.method.name} and this model and data. "
        f"Received: {config.budget.bytes:,}."
    )


def _known() -> list[str]:
    package = "dsl_tf.methods"
    names = plugins.names(package)
    modules = {name: plugins.find(package, name, "method") for name in names}
    return [name for name in names if hasattr(modules[name], "within_bytes")]
