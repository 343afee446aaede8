"""What the studies share: the paper's published numbers, and common values."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from dsl_tf.studies import gathered

#: Published numbers by the labels of a row, and then by columns.
Published: TypeAlias = Mapping[tuple[object, ...], Mapping[str, float]]

#: The paper's names of methods are ours, but for these.
DENSE, DSL = "dense", "dsl"

#: Of every cell: quality is measured of what is trained, not of files.
NO_FILES = {"export.formats": ()}

#: Of every cell where a study is to take minutes: a validation takes as long as an
#: epoch of the demo data.
FEW_VALIDATIONS = {"train.validate_every": 5, "train.patience": 0}

#: Where lengths of training would else differ: a sparse row that stands still for some
#: epochs goes on.
NO_PATIENCE = {"train.patience": 0}

#: Where a study is to take minutes: what is built in, and real data as small.
QUICK_DATA = ("demo", "ml-100k")

#: Of both, one backbone each.
QUICK_FILES = ("configs/neumf.py:demo", "configs/mf.py:ml-100k")

#: Of the paper's figures and its Table 4, but on the smallest of its data.
FULL_FILES = ("configs/neumf.py:ml-1m", "configs/lightgcn.py:ml-1m")

#: Sparsities of DSL Figure 2.
SPARSITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def files(backbones: Iterable[str], data: Iterable[str]) -> tuple[str, ...]:
    """Configs of all backbones for all data sets."""
    return tuple(f"configs/{name}.py:{each}" for name in backbones for each in data)


def with_shares(
    table: Published, dense: Callable[[tuple[object, ...]], tuple[object, ...]]
) -> Published:
    """Published numbers, and their costs as shares of the dense row's.

    Args:
      table: the numbers.
      dense: from the labels of a row to those of its dense row.
    """
    return {
        row: {
            **numbers,
            **{
                share: numbers[cost] / table[dense(row)][cost]
                for share, cost in gathered.SHARES.items()
                if cost in numbers
            },
        }
        for row, numbers in table.items()
    }


def recall_ndcg(recall: float, ndcg: float) -> dict[str, float]:
    """Published numbers by the columns that they are compared with."""
    return {"recall@20": recall, "ndcg@20": ndcg}


def macs(training: float, inference: float) -> dict[str, float]:
    """Published multiply-accumulates, likewise."""
    return {
        "cost.as_published.training_macs": training,
        "cost.as_published.inference_macs": inference,
    }


def published(
    recall: float, ndcg: float, training: float, inference: float
) -> dict[str, float]:
    """Published quality and multiply-accumulates, likewise."""
    return recall_ndcg(recall, ndcg) | macs(training, inference)


def compared(
    training: float, megabytes: float, recall: float, ndcg: float
) -> dict[str, float]:
    """Published multiply-accumulates, memory and quality, likewise."""
    return {
        "cost.as_published.training_macs": training,
        "cost.training.state_bytes": megabytes * 1e6,
        **recall_ndcg(recall, ndcg),
    }


#: DSL (WSDM 2024), Table 2, by backbone, data and method. Rows of NeuMF and ConvNCF
#: have a hit rate under "Recall/HR", of one item held out, and are left out but for
#: their multiply-accumulates.
TABLE_2: Published = {
    ("neumf", "ml-1m", DENSE): macs(3.13e13, 9.68e8),
    ("neumf", "ml-1m", DSL): macs(2.09e13, 6.47e8),
    ("neumf", "citeulike", DENSE): macs(3.85e12, 8.87e8),
    ("neumf", "citeulike", DSL): macs(2.58e12, 5.93e8),
    ("neumf", "foursquare", DENSE): macs(3.72e13, 2.50e9),
    ("neumf", "foursquare", DSL): macs(2.49e13, 1.67e9),
    ("convncf", "ml-1m", DENSE): macs(1.50e15, 4.65e10),
    ("convncf", "ml-1m", DSL): macs(3.80e14, 1.19e10),
    ("convncf", "citeulike", DENSE): macs(1.83e14, 4.26e10),
    ("convncf", "citeulike", DSL): macs(4.60e13, 1.09e10),
    ("convncf", "foursquare", DENSE): macs(1.76e15, 1.20e11),
    ("convncf", "foursquare", DSL): macs(4.50e14, 3.10e10),
    ("multvae", "ml-1m", DENSE): published(0.3099, 0.3052, 2.40e12, 1.08e10),
    ("multvae", "ml-1m", DSL): published(0.3080, 0.3005, 1.20e12, 5.40e9),
    ("multvae", "citeulike", DENSE): published(0.2260, 0.1278, 1.36e13, 6.40e10),
    ("multvae", "citeulike", DSL): published(0.2044, 0.1093, 6.80e12, 3.20e10),
    ("multvae", "foursquare", DENSE): published(0.1550, 0.1639, 4.61e13, 2.24e11),
    ("multvae", "foursquare", DSL): published(0.1427, 0.1485, 3.69e13, 1.79e11),
    ("cdae", "ml-1m", DENSE): published(0.3254, 0.3236, 2.67e11, 1.26e10),
    ("cdae", "ml-1m", DSL): published(0.3657, 0.3656, 1.33e11, 6.30e9),
    ("cdae", "citeulike", DENSE): published(0.1687, 0.1080, 3.60e12, 6.77e10),
    ("cdae", "citeulike", DSL): published(0.1423, 0.0962, 1.80e12, 3.39e10),
    ("cdae", "foursquare", DENSE): published(0.2504, 0.2452, 1.15e13, 2.27e11),
    ("cdae", "foursquare", DSL): published(0.2350, 0.2303, 9.20e12, 1.82e11),
}

#: The same of LightGCN, by data, layers and method.
TABLE_2_LIGHTGCN: Published = {
    ("amazon-book", 3, DENSE): published(0.0414, 0.0321, 1.59e20, 6.88e13),
    ("amazon-book", 3, DSL): published(0.0416, 0.0325, 9.5e19, 4.14e13),
    ("yelp2018", 3, DENSE): published(0.0642, 0.0528, 4e19, 3.32e13),
    ("yelp2018", 3, DSL): published(0.0641, 0.0527, 2.67e19, 2.22e13),
    ("gowalla", 3, DENSE): published(0.1816, 0.1550, 1.75e19, 2.21e13),
    ("gowalla", 3, DSL): published(0.1813, 0.1547, 1.16e19, 1.48e13),
    ("amazon-book", 4, DENSE): published(0.0406, 0.0313, 2.12e20, 9.17e13),
    ("amazon-book", 4, DSL): published(0.0405, 0.0314, 1.17e20, 5.06e13),
    ("yelp2018", 4, DENSE): published(0.0649, 0.0530, 5.34e19, 4.42e13),
    ("yelp2018", 4, DSL): published(0.0651, 0.0536, 3.34e19, 2.77e13),
    ("gowalla", 4, DENSE): published(0.1830, 0.1550, 2.33e19, 2.95e13),
    ("gowalla", 4, DSL): published(0.1821, 0.1544, 1.45e19, 1.84e13),
}

#: The same of UltraGCN, by data, width and method.
TABLE_2_ULTRAGCN: Published = {
    ("amazon-book", 64, DENSE): published(0.0678, 0.0553, 5.02e13, 6.24e11),
    ("amazon-book", 64, DSL): published(0.0685, 0.0563, 2.69e13, 1.56e11),
    ("yelp2018", 64, DENSE): published(0.0673, 0.0554, 2.37e13, 1.55e11),
    ("yelp2018", 64, DSL): published(0.0645, 0.0530, 1.68e13, 9.89e10),
    ("gowalla", 64, DENSE): published(0.1858, 0.1576, 9.05e13, 1.61e11),
    ("gowalla", 64, DSL): published(0.1742, 0.1448, 6.23e13, 1.03e11),
    ("amazon-book", 128, DENSE): published(0.0712, 0.0582, 9.85e13, 1.25e12),
    ("amazon-book", 128, DSL): published(0.0727, 0.0582, 5.18e13, 3.10e11),
    ("yelp2018", 128, DENSE): published(0.0676, 0.0556, 4.62e13, 3.09e11),
    ("yelp2018", 128, DSL): published(0.0651, 0.0532, 3.23e13, 1.98e11),
    ("gowalla", 128, DENSE): published(0.1844, 0.1539, 1.76e14, 3.22e11),
    ("gowalla", 128, DSL): published(0.1792, 0.1478, 1.20e14, 2.06e11),
}

#: Table 3 (LightGCN on Yelp2018 at half the weights), by method and d. What its
#: "Memory" is of is not said; it is taken as decimal megabytes.
TABLE_3: Published = {
    (DENSE, 64): compared(4.00e19, 2103, 0.0642, 0.0528),
    (DENSE, 128): compared(8.01e19, 2399, 0.0673, 0.0550),
    ("rkd", 64): compared(6.00e19, 2103, 0.0558, 0.0460),
    ("rkd", 128): compared(1.20e20, 2399, 0.0610, 0.0493),
    ("tkd", 64): compared(6.67e19, 2103, 0.0615, 0.0514),
    ("tkd", 128): compared(1.34e20, 2399, 0.0645, 0.0533),
    ("autoemb", 64): compared(7.92e19, 4210, 0.0627, 0.0511),
    ("autoemb", 128): compared(1.58e20, 4521, 0.0654, 0.0536),
    ("esapn", 64): compared(1.91e20, 4364, 0.0638, 0.0525),
    ("esapn", 128): compared(3.81e20, 4675, 0.0672, 0.0545),
    ("random_pruning", 64): compared(2.67e19, 1052, 0.0557, 0.0458),
    ("random_pruning", 128): compared(5.34e19, 1199, 0.0608, 0.0498),
    ("magnitude_pruning", 64): compared(6.67e19, 2103, 0.0622, 0.0509),
    ("magnitude_pruning", 128): compared(1.33e20, 2399, 0.0661, 0.0542),
    ("without_rewinding", 64): compared(1.93e20, 2103, 0.0621, 0.0501),
    ("without_rewinding", 128): compared(3.85e20, 2399, 0.0661, 0.0537),
    ("pep", 64): compared(3.34e19, 2082, 0.0592, 0.0484),
    ("pep", 128): compared(6.68e19, 2375, 0.0623, 0.0501),
    ("lottery_ticket", 64): compared(1.93e20, 2103, 0.0635, 0.0525),
    ("lottery_ticket", 128): compared(3.85e20, 2399, 0.0666, 0.0545),
    (DSL, 64): compared(2.67e19, 1052, 0.0641, 0.0527),
    (DSL, 128): compared(5.34e19, 1199, 0.0675, 0.0553),
}

#: Table 4 (LightGCN), by data and decay of the update ratio.
TABLE_4: Published = {
    ("amazon-book", "cosine"): recall_ndcg(0.0406, 0.0316),
    ("amazon-book", "linear"): recall_ndcg(0.0409, 0.0317),
    ("amazon-book", "constant"): recall_ndcg(0.0394, 0.0307),
    ("yelp2018", "cosine"): recall_ndcg(0.0641, 0.0527),
    ("yelp2018", "linear"): recall_ndcg(0.0638, 0.0525),
    ("yelp2018", "constant"): recall_ndcg(0.0618, 0.0507),
    ("gowalla", "cosine"): recall_ndcg(0.1812, 0.1546),
    ("gowalla", "linear"): recall_ndcg(0.1803, 0.1538),
    ("gowalla", "constant"): recall_ndcg(0.1773, 0.1518),
}
