"""Studies that the package brings: the tables and figures of the DSL paper."""
