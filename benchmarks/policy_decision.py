"""How long one policy decision takes: the facade's ``decide`` on the shipped bundle, one thread, no cache.

``PYTHONPATH=src python benchmarks/policy_decision.py`` prints JSON. Beside it: the same question to regorus alone
(interpreter and compiled form, without input checks, shape checks and ids), and the facade from four threads.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from regorus import Engine, Program, Rvm  # type: ignore[attr-defined]

from ripple.planes.policy import Policy, read_bundle
from ripple.planes.policy.regorus import RegorusPolicy
from ripple.stack.root import project_root

ROUNDS = 5_000
PRINCIPAL = {"kind": "operator", "id": "local", "roles": ["operator"]}
QUESTIONS: dict[str, dict[str, Any]] = {
    "ripple/authz": {
        "principal": PRINCIPAL,
        "action": "change.submit",
        "resource": "application/checkout",
        "data": {"change": "chg-000000000000", "policy": "ripple-moe", "intent": "x" * 200},
    },
    "ripple/edits": {
        "paths": ["src/checkout/app.py", "tests/unit/test_app.py", "config/prices.yaml"],
        "kind": "code",
        "config_dir": "config/",
        "protected": ["requirements.lock"],
    },
    "inference/merge": {
        "consensus": {"reached": True, "score": 0.8, "winner": "sha256:aa"},
        "policy": {"name": "ripple-moe", "min_agreement": 0.6},
        "kind": "code",
    },
    "ripple/promotion": {
        "environment": "staging",
        "release": "sha256:aa",
        "gates": {
            gate: {"verdict": "pass", "subject": "sha256:aa"}
            for gate in ("build", "integration", "security", "policy", "evals")
        },
        "held": False,
        "held_reason": "",
        "previous_environment_stable": True,
        "approval": {"required": False, "by": ""},
        "origin": {"kind": "change"},
        "tree": "t1",
        "consensus": {"reached": True, "score": 0.8, "tree": "t1"},
        "policy": {
            "name": "ripple-moe",
            "min_agreement": 0.6,
            "min_lineages": 2,
            "strategy": "weighted_consensus",
        },
    },
}


def main() -> None:
    """Measure and print."""
    policy = Policy(RegorusPolicy())
    policy.load_directory(project_root() / "policies")
    found: dict[str, Any] = {}
    for path, question in QUESTIONS.items():
        assert policy.decide(path, question).allowed, path
        found[path] = _summary(_times(lambda path=path, question=question: policy.decide(path, question)))  # type: ignore[misc]
    report = {
        "decide": found,
        "decide_from_4_threads": {"ripple/authz": _threads(policy)},
        "regorus_alone": {"ripple/authz": _alone()},
        "how": f"{ROUNDS} decisions after warm-up, bundle {policy.revision}",
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


def _threads(policy: Policy) -> dict[str, float]:
    def work(_: int) -> float:
        began = time.perf_counter()
        _times(lambda: policy.decide("ripple/authz", QUESTIONS["ripple/authz"]))
        return time.perf_counter() - began

    with ThreadPoolExecutor(4) as pool:
        began = time.perf_counter()
        list(pool.map(work, range(4)))
        return {"per_second": round(4 * ROUNDS * 1.1 / (time.perf_counter() - began))}


def _alone() -> dict[str, Any]:
    modules, data = read_bundle(project_root() / "policies")
    sources = [(name, text) for name, text in modules.items() if not name.endswith("_test.rego")]
    question, rule = json.dumps(QUESTIONS["ripple/authz"]), "data.ripple.authz.decision"
    engine = Engine()
    for name, text in sources:
        engine.add_policy(name, text)
    engine.add_data(data)
    machine = Rvm()
    machine.load_program(Program.compile_from_modules(json.dumps(data), sources, [rule]))
    machine.set_data_json(json.dumps(data))

    def interpreted() -> None:
        engine.set_input_json(question)
        engine.eval_rule(rule)

    def compiled() -> None:
        machine.set_input_json(question)
        machine.execute()

    return {"interpreter": _summary(_times(interpreted)), "compiled": _summary(_times(compiled))}


def _times(call: Callable[[], object]) -> list[float]:
    for _ in range(ROUNDS // 10):
        call()
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return times


def _summary(seconds: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100)
    return {
        "p50_us": round(cuts[49] * 1e6, 1),
        "p95_us": round(cuts[94] * 1e6, 1),
        "per_second": round(1 / statistics.fmean(seconds)),
    }


if __name__ == "__main__":
    main()
