import pytest
import rich.console

from dsl_tf import plugins
from dsl_tf.methods import base


@pytest.fixture
def train(small_split):
    """Trains with the method of a config; `folder` holds the checkpoints."""

    def run(config, folder, split=small_split, seed=0, file=None):
        console = rich.console.Console(file=file, quiet=file is None, width=200)
        method = plugins.find("dsl_tf.methods", config.method.name, "method")
        task = base.Task(split, seed, folder, console)
        return base.train(task, config, method.train)

    return run
