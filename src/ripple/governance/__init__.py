"""Who asks, may they, and what happened: the one choke point, the audit chain, sessions, signed evidence."""
