"""Checkout: what a basket costs, as a small web service."""
