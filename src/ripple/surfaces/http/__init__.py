"""The HTTP surface: the operator's API and the console's files, on one loopback port."""
