"""Training steps of a RecBole model, for `benchmarks.epochs`.

Needs only what `requirements-recbole.txt` names:

    python benchmarks/recbole_steps.py SETTING.json

SETTING.json holds `model`, a RecBole name; `config`, RecBole's keys; `users` and
`items`, the training pairs; `steps`, how many to time. Prints JSON: `seconds` of each
step, the making of its batch included, and `steps_per_epoch`.
"""

import itertools
import json
import logging
import os
import sys
import tempfile
import time

import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, init_seed

#: The pairs also stand as validation and test, which are never read.
PARTS = ("train", "valid", "test")


def main(path: str) -> None:
    logging.disable(logging.WARNING)
    with open(path) as file:
        setting = json.load(file)
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "pairs"))
        for part in PARTS:
            name = os.path.join(folder, "pairs", f"pairs.{part}.inter")
            with open(name, "w") as file:
                file.write("user_id:token\titem_id:token\n")
                for user, item in zip(setting["users"], setting["items"], strict=True):
                    file.write(f"{user}\t{item}\n")
        fixed = {
            "data_path": folder,
            "benchmark_filename": list(PARTS),
            "load_col": {"inter": ["user_id", "item_id"]},
            "use_gpu": False,
            "state": "ERROR",
            "show_progress": False,
        }
        arguments, sys.argv = sys.argv, sys.argv[:1]  # RecBole reads flags of its own
        config = Config(
            model=setting["model"],
            dataset="pairs",
            config_dict=fixed | setting["config"],
        )
        sys.argv = arguments
        init_seed(0, True)
        dataset = create_dataset(config)
        train, _, _ = data_preparation(config, dataset)
        model = get_model(config["model"])(config, train.dataset)
        optimizer = torch.optim.Adam(model.parameters(), lr=config["learning_rate"])
        model.train()
        ends = [time.perf_counter()]
        while len(ends) <= setting["steps"]:
            for batch in train:
                optimizer.zero_grad()
                losses = model.calculate_loss(batch)
                (sum(losses) if isinstance(losses, tuple) else losses).backward()
                optimizer.step()
                ends.append(time.perf_counter())
                if len(ends) > setting["steps"]:
                    break
        seconds = [after - before for before, after in itertools.pairwise(ends)]
    print(json.dumps({"seconds": seconds, "steps_per_epoch": len(train)}))


if __name__ == "__main__":
    main(sys.argv[1])
