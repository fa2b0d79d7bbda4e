"""The manifests that are no rows: one module per concern, each with the pure functions that use its files."""
