"""Load, check and hash the manifests. Pure but for reading files below the project's root."""
