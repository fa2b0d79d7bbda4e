"""What can be changed without changing code: the files in ``config/``."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Pricing:
    """``config/pricing.yaml``: cents, percent, basis points."""

    currency: str
    items: Mapping[str, int]
    shipping: Mapping[str, int]
    bulk: Mapping[str, int]
    coupons: Mapping[str, int]
    tax_basis_points: Mapping[str, int]


@dataclass(frozen=True)
class Limits:
    """``config/limits.json``: how much one request may ask for."""

    max_lines: int
    max_quantity_per_line: int
    max_body_bytes: int


@dataclass(frozen=True)
class Features:
    """``config/features.toml``: switches."""

    default_country: str
    coupons: bool
    stock_check: bool
    show_steps: bool


@dataclass(frozen=True)
class Settings:
    """All of it. An unknown or missing key stops the service from starting."""

    pricing: Pricing
    limits: Limits
    features: Features


def load_settings(folder: Path = ROOT / "config") -> Settings:
    """The settings in ``folder``."""
    return Settings(
        Pricing(**yaml.safe_load((folder / "pricing.yaml").read_text(encoding="utf-8"))),
        Limits(**json.loads((folder / "limits.json").read_text(encoding="utf-8"))),
        Features(**tomllib.loads((folder / "features.toml").read_text(encoding="utf-8"))),
    )
