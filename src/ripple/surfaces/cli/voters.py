"""``./ripple provider …`` and ``./ripple models …``."""

from __future__ import annotations

import os
import time
from typing import Annotated, Any

import typer

from ripple.model.errors import Invalid, RippleError
from ripple.model.paths import Home
from ripple.surfaces.cli.client import Api
from ripple.surfaces.cli.output import Json, people, progress, show_json, table

providers = typer.Typer(no_args_is_help=True, help="Models Ripple may ask.")
models = typer.Typer(no_args_is_help=True, help="Models that run on this machine.")
POLL_SECONDS = 0.5


@providers.command()
def add(
    name: str,
    *,
    tier: Annotated[str, typer.Option(help="local or cloud.")],
    model: Annotated[str, typer.Option(help="The model's name at the provider.")],
    base_url: Annotated[str, typer.Option(help="The OpenAI-compatible endpoint, ending in /v1.")] = "",
    weight: Annotated[float, typer.Option(help="Its weight in the vote.")] = 1.0,
    key_env: Annotated[str, typer.Option(help="The environment variable that holds its key.")] = "",
    adapter: Annotated[
        str, typer.Option(help="openai, openrouter, claude-code, codex, github-copilot.")
    ] = "openai",
    lineage: Annotated[str, typer.Option(help="Models of one lineage share one weight.")] = "",
    priority: Annotated[int, typer.Option(help="Lower is asked first when there are fewer places.")] = 100,
    json: Json = False,
) -> None:
    """Add or replace a provider. Its key is read from the variable now and kept for you alone."""
    if key_env and key_env not in os.environ:
        raise Invalid(
            f"cannot add provider {name}: the environment variable {key_env} is not set; set it and repeat"
        )
    body = {
        "name": name,
        "tier": tier,
        "model": model,
        "base_url": base_url or None,
        "weight": weight,
        "adapter": adapter,
        "lineage": lineage or None,
        "priority": priority,
        "key_env": key_env or None,
        "key": os.environ.get(key_env) if key_env else None,
    }
    found = Api(Home.of()).post("/api/providers", body)
    if json:
        show_json(found)
    else:
        people.print(f"added {name}; ./ripple provider test {name} asks it for a short answer")


@providers.command("list")
def list_providers(json: Json = False) -> None:
    """All providers, without their keys."""
    found = Api(Home.of()).get("/api/providers")
    if json:
        show_json(found)
        return
    columns = {"name": "name", "tier": "tier", "adapter": "adapter", "model": "model", "weight": "weight"}
    table(
        found["providers"], columns, "No provider yet; ./ripple provider add NAME --tier … --model … --base-url …"
    )


@providers.command("test")
def test_provider(name: str, json: Json = False) -> None:
    """Ask a provider for one short answer; exit status 1 when it does not give one."""
    with progress.status(f"asking {name}"):
        found = Api(Home.of()).post(f"/api/providers/{name}/test")
    if json:
        show_json(found)
    elif found["ok"]:
        people.print(f"{name} answered in {found['latency_seconds']:.2f} s: {found['reply']}", markup=False)
    else:
        people.print(f"{name} gave no answer: {found['reason']}", markup=False)
    raise typer.Exit(0 if found["ok"] else 1)


@providers.command()
def remove(name: str) -> None:
    """Forget a provider and its key."""
    Api(Home.of()).delete(f"/api/providers/{name}")
    people.print(f"removed {name}")


@models.command("list")
def list_models(json: Json = False) -> None:
    """Installed models and ones that can be added."""
    found = Api(Home.of()).get("/api/models")
    if json:
        show_json(found)
        return
    columns = {"name": "name", "set": "set", "state": "state", "licence": "licence", "reason": "reason"}
    table(found["models"], columns, "No model is known.")


@models.command("add")
def add_models(
    chosen: Annotated[str, typer.Argument(help="A set (default, evaluation) or one model's name.")],
    json: Json = False,
) -> None:
    """Fetch models, check their hashes, and start serving them."""
    api = Api(Home.of())
    api.post(f"/api/models/{chosen}/add")
    rows = _wait_for_models(api, chosen)
    if json:
        show_json({"models": rows})
    else:
        table(rows, {"name": "name", "state": "state", "reason": "reason"}, "nothing was added")
    failed = [row for row in rows if row["state"] == "failed"]
    if failed:
        raise RippleError(f"{len(failed)} of {len(rows)} models were not added: {failed[0]['reason']}")


def _wait_for_models(api: Api, chosen: str) -> list[dict[str, Any]]:
    with progress.status(f"fetching {chosen}") as line:
        while True:
            rows = [row for row in api.get("/api/models")["models"] if chosen in (row["set"], row["name"])]
            busy = [row for row in rows if row["state"] == "downloading"]
            if not busy:
                return rows
            line.update("; ".join(f"{row['name']}: {row['reason']}" for row in busy))
            time.sleep(POLL_SECONDS)
