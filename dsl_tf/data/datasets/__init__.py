"""Named data sets, one module each, found by name (`dsl_tf.plugins`).

Each has `load(root)`: reads `root`'s folder of that data set where it is
there, else downloads from the official source.
"""
