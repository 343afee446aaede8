"""Experiments as files; in the wheel this folder is `dsl_tf.configs`."""
