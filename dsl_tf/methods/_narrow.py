"""The same backbone with narrower tables."""

from ml_collections import config_dict

from dsl_tf import plugins
from dsl_tf.errors import UserError


def narrowed(config: config_dict.ConfigDict, share: float) -> config_dict.ConfigDict:
    """A copy of a config whose tables take at most a share of the bytes.

    Every width of the backbone's tables is multiplied by the share and rounded down,
    but to no less than 1.

    Args:
      config: the whole config.
      share: in (0, 1].

    Raises:
      UserError: the backbone has no widths that can be chosen.
    """
    keys = widths(config)
    if not keys:
        raise UserError(
            f"The method {config.method.name} needs a backbone whose tables can have "
            f"any width. Received: model.name={config.model.name}."
        )
    config = config.copy_and_resolve_references()
    for key in keys:
        # A product such as 64 * .7 may end just below a whole number.
        config.model[key] = max(1, int(config.model[key] * share + 1e-9))
    return config


def widths(config: config_dict.ConfigDict) -> tuple[str, ...]:
    """The keys of `model` that are widths of tables and can have any value."""
    backbone = plugins.find("dsl_tf.backbones", config.model.name, "backbone")
    keys: tuple[str, ...] = getattr(backbone, "WIDTHS", ())
    return keys
