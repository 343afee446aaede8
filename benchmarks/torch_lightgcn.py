"""A LightGCN training step in PyTorch, for `benchmarks.lightgcn`.

Written as LightGCN's PyTorch code does it: a COO adjacency, `torch.sparse.mm` layer
by layer over the whole table, the mean of the layers, BPR with one negative, L2 on
the rows of layer 0, Adam. Needs only what `requirements-torch.txt` names:

    python benchmarks/torch_lightgcn.py GRAPH.npz LAYERS WIDTH BATCH STEPS

GRAPH.npz holds `row`, `col`, `value` of the normalised adjacency and `users`,
`items`, the training pairs. Prints the seconds of each step as JSON.
"""

import json
import sys
import time

import numpy as np
import torch


def main(path: str, layers: int, width: int, batch: int, steps: int) -> None:
    torch.manual_seed(0)
    data = np.load(path)
    nodes, num_users = int(data["nodes"]), int(data["num_users"])
    index = torch.from_numpy(np.stack([data["row"], data["col"]]).astype(np.int64))
    graph = torch.sparse_coo_tensor(
        index, torch.from_numpy(data["value"]), (nodes, nodes)
    ).coalesce()
    users_table = torch.nn.Embedding(num_users, width)
    items_table = torch.nn.Embedding(nodes - num_users, width)
    for table in (users_table, items_table):
        torch.nn.init.normal_(table.weight, std=0.1)
    parameters = [users_table.weight, items_table.weight]
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    rng = np.random.default_rng(0)
    pairs, seconds = len(data["users"]), []
    for _ in range(steps):
        chosen = rng.integers(0, pairs, batch)
        users = torch.from_numpy(data["users"][chosen].astype(np.int64))
        items = torch.from_numpy(data["items"][chosen].astype(np.int64))
        negatives = torch.from_numpy(rng.integers(0, nodes - num_users, batch))
        start = time.perf_counter()
        layer = torch.cat([users_table.weight, items_table.weight])
        every = [layer]
        for _ in range(layers):
            layer = torch.sparse.mm(graph, layer)
            every.append(layer)
        table = torch.mean(torch.stack(every, dim=1), dim=1)
        of_users, of_items = torch.split(table, [num_users, nodes - num_users])
        user, item, negative = of_users[users], of_items[items], of_items[negatives]
        loss = torch.mean(
            torch.nn.functional.softplus(
                (user * negative).sum(dim=1) - (user * item).sum(dim=1)
            )
        )
        rows = (users_table(users), items_table(items), items_table(negatives))
        norms = sum(each.norm(2).pow(2) for each in rows)
        loss = loss + 1e-4 * 0.5 * norms / batch
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
