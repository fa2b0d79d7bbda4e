"""Ask models, read their answers, and reduce them to one. All but the fan-out and its adapters is pure."""
