"""What the studies share: the paper's published numbers, and common values."""

#: The paper's names of methods are ours, but for these.
DENSE, DSL = "dense", "dsl"

#: Of every cell: quality is measured of what is trained, not of files.
NO_FILES = {"export.formats": ()}

#: Sparsities of DSL Figure 2.
SPARSITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def recall_ndcg(recall: float, ndcg: float) -> dict[str, float]:
    """Published numbers by the columns that they are compared with."""
    return {"recall@20": recall, "ndcg@20": ndcg}


#: DSL (WSDM 2024), Table 2, by backbone, data and method. Rows of NeuMF and ConvNCF
#: have a hit rate under "Recall/HR", of one item held out.
TABLE_2 = {
    ("multvae", "ml-1m", DENSE): recall_ndcg(0.3099, 0.3052),
    ("multvae", "ml-1m", DSL): recall_ndcg(0.3080, 0.3005),
    ("multvae", "citeulike-t", DENSE): recall_ndcg(0.2260, 0.1278),
    ("multvae", "citeulike-t", DSL): recall_ndcg(0.2044, 0.1093),
    ("multvae", "foursquare", DENSE): recall_ndcg(0.1550, 0.1639),
    ("multvae", "foursquare", DSL): recall_ndcg(0.1427, 0.1485),
    ("cdae", "ml-1m", DENSE): recall_ndcg(0.3254, 0.3236),
    ("cdae", "ml-1m", DSL): recall_ndcg(0.3657, 0.3656),
    ("cdae", "citeulike-t", DENSE): recall_ndcg(0.1687, 0.1080),
    ("cdae", "citeulike-t", DSL): recall_ndcg(0.1423, 0.0962),
    ("cdae", "foursquare", DENSE): recall_ndcg(0.2504, 0.2452),
    ("cdae", "foursquare", DSL): recall_ndcg(0.2350, 0.2303),
}

#: The same of LightGCN, by data, layers and method.
TABLE_2_LIGHTGCN = {
    ("amazon-book", 3, DENSE): recall_ndcg(0.0414, 0.0321),
    ("amazon-book", 3, DSL): recall_ndcg(0.0416, 0.0325),
    ("yelp2018", 3, DENSE): recall_ndcg(0.0642, 0.0528),
    ("yelp2018", 3, DSL): recall_ndcg(0.0641, 0.0527),
    ("gowalla", 3, DENSE): recall_ndcg(0.1816, 0.1550),
    ("gowalla", 3, DSL): recall_ndcg(0.1813, 0.1547),
    ("amazon-book", 4, DENSE): recall_ndcg(0.0406, 0.0313),
    ("amazon-book", 4, DSL): recall_ndcg(0.0405, 0.0314),
    ("yelp2018", 4, DENSE): recall_ndcg(0.0649, 0.0530),
    ("yelp2018", 4, DSL): recall_ndcg(0.0651, 0.0536),
    ("gowalla", 4, DENSE): recall_ndcg(0.1830, 0.1550),
    ("gowalla", 4, DSL): recall_ndcg(0.1821, 0.1544),
}

#: The same of UltraGCN, by data, width and method.
TABLE_2_ULTRAGCN = {
    ("amazon-book", 64, DENSE): recall_ndcg(0.0678, 0.0553),
    ("amazon-book", 64, DSL): recall_ndcg(0.0685, 0.0563),
    ("yelp2018", 64, DENSE): recall_ndcg(0.0673, 0.0554),
    ("yelp2018", 64, DSL): recall_ndcg(0.0645, 0.0530),
    ("gowalla", 64, DENSE): recall_ndcg(0.1858, 0.1576),
    ("gowalla", 64, DSL): recall_ndcg(0.1742, 0.1448),
    ("amazon-book", 128, DENSE): recall_ndcg(0.0712, 0.0582),
    ("amazon-book", 128, DSL): recall_ndcg(0.0727, 0.0582),
    ("yelp2018", 128, DENSE): recall_ndcg(0.0676, 0.0556),
    ("yelp2018", 128, DSL): recall_ndcg(0.0651, 0.0532),
    ("gowalla", 128, DENSE): recall_ndcg(0.1844, 0.1539),
    ("gowalla", 128, DSL): recall_ndcg(0.1792, 0.1478),
}

#: Table 3 (LightGCN on Yelp2018 at half the weights), by method, at d = 64 and 128.
TABLE_3 = {
    "dense": ((0.0642, 0.0528), (0.0673, 0.0550)),
    "rkd": ((0.0558, 0.0460), (0.0610, 0.0493)),
    "tkd": ((0.0615, 0.0514), (0.0645, 0.0533)),
    "autoemb": ((0.0627, 0.0511), (0.0654, 0.0536)),
    "esapn": ((0.0638, 0.0525), (0.0672, 0.0545)),
    "random_pruning": ((0.0557, 0.0458), (0.0608, 0.0498)),
    "magnitude_pruning": ((0.0622, 0.0509), (0.0661, 0.0542)),
    "without_rewinding": ((0.0621, 0.0501), (0.0661, 0.0537)),
    "pep": ((0.0592, 0.0484), (0.0623, 0.0501)),
    "lottery_ticket": ((0.0635, 0.0525), (0.0666, 0.0545)),
    "dsl": ((0.0641, 0.0527), (0.0675, 0.0553)),
}

#: Table 4 (LightGCN), by data and decay of the update ratio.
TABLE_4 = {
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
