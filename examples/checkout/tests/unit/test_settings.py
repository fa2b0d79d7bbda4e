"""The files in config/ fit their schemas and the service."""

import json
import tomllib

import jsonschema
import pytest
import yaml

from checkout.settings import ROOT, load_settings

READERS = {"pricing.yaml": yaml.safe_load, "limits.json": json.loads, "features.toml": tomllib.loads}


@pytest.mark.parametrize("name", sorted(READERS))
def test_every_file_fits_its_schema(name):
    path = ROOT / "config" / name
    schema = json.loads(path.with_suffix(".schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(READERS[name](path.read_text(encoding="utf-8")), schema)


def test_the_service_understands_all_of_it():
    settings = load_settings()
    assert settings.features.default_country in settings.pricing.tax_basis_points
    assert settings.limits.max_lines >= 1
