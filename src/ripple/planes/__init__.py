"""Seams to the outside: one package each, a Protocol and a facade, and one file per driver."""
