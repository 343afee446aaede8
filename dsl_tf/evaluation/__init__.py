"""How good a recommender is, and how sure that is: named protocols."""
