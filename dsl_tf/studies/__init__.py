"""Studies: grids of runs, what is gathered from them, and pages that show it."""
