"""The phases of building a whole system (Spec, diagram), run as one durable task."""
