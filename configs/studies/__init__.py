"""Studies that the package brings: the DSL paper's, `pareto` and `dsl_plus`."""
