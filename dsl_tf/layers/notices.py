"""What dynamic sparse training warns of."""

from dsl_tf.sparsity.schedule import UpdateSchedule
from dsl_tf.types import Exchange

#: After an epoch.
NO_STEP = (
    "The model's optimiser has taken no step in this epoch, and explorations are "
    "counted by its steps: compile the model with the one that trains it."
)


def no_exploration(step: int, schedule: UpdateSchedule) -> str:
    """That a `fit` is too short.

    Args:
      step: of the optimiser, before it.
      schedule: whose end is that of the `fit`.
    """
    return (
        f"No exploration falls into the steps {step} to {schedule.end_step} of this "
        f"fit: they come every {schedule.update_interval} steps of the optimiser. Give "
        "`end_step` where fit is called several times."
    )


def few_offered(step: int, name: str, exchange: Exchange, recorded: bool) -> str:
    """That an exploration had too little to choose from.

    Args:
      step: of the exploration.
      name: of the weight.
      exchange: what it did.
      recorded: whether there was any gradient at all.
    """
    why = (
        "a longer horizon or update interval may offer more"
        if recorded
        else "none was recorded: no step used it, or it was called in a tf.function "
        "that was traced before fit began"
    )
    return (
        f"Step {step}, {name}: {exchange.offered} positions had a gradient where "
        f"{exchange.asked} were asked for; {why}."
    )
