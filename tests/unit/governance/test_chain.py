"""The chain as pure functions: whatever is done to sealed rows is found."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ripple.governance.chain import GENESIS, Break, Head, entry_hash, follow, seal

texts = st.text(max_size=12)
data = st.dictionaries(texts, st.one_of(st.none(), st.booleans(), st.integers(-1000, 1000), texts), max_size=3)
bodies = st.fixed_dictionaries(
    {
        "at": texts,
        "principal": texts,
        "action": texts,
        "resource": texts,
        "outcome": texts,
        "decision_id": st.none() | texts,
        "policy_revision": st.none() | texts,
        "trace_id": st.none() | texts,
        "data": data,
    }
)
logs = st.lists(bodies, min_size=2, max_size=8).map(lambda drafts: [asdict(one) for one in seal(Head(), drafts)])
relaxed = settings(max_examples=60, deadline=None)


@relaxed
@given(logs)
def test_a_sealed_log_follows_to_its_last_hash(rows: list[dict[str, Any]]) -> None:
    assert follow(Head(), rows) == Head(len(rows), rows[-1]["hash"])


@relaxed
@given(logs, st.data())
def test_sealing_in_any_batches_gives_the_same_chain(rows: list[dict[str, Any]], draw: st.DataObject) -> None:
    cut = draw.draw(st.integers(0, len(rows)))
    drafts = [{name: row[name] for name in row if name not in ("seq", "previous", "hash")} for row in rows]
    first = seal(Head(), drafts[:cut])
    middle = Head(first[-1].seq, first[-1].hash) if first else Head()
    assert [asdict(one) for one in [*first, *seal(middle, drafts[cut:])]] == rows


@relaxed
@given(logs, st.data())
def test_a_changed_field_is_found_at_its_row(rows: list[dict[str, Any]], draw: st.DataObject) -> None:
    index = draw.draw(st.integers(0, len(rows) - 1))
    name = draw.draw(st.sampled_from(["at", "principal", "action", "resource", "outcome", "trace_id", "data"]))
    changed = {"x": "forged"} if name == "data" else f"{rows[index][name]}!"
    rows[index] = {**rows[index], name: changed}
    found = follow(Head(), rows)
    assert isinstance(found, Break)
    assert found.at == index + 1


@relaxed
@given(logs, st.data())
def test_a_changed_row_with_a_recomputed_hash_is_found_behind_it(
    rows: list[dict[str, Any]], draw: st.DataObject
) -> None:
    index = draw.draw(st.integers(0, len(rows) - 2))
    forged = {**rows[index], "action": f"{rows[index]['action']}!"}
    rows[index] = {**forged, "hash": entry_hash(forged)}
    found = follow(Head(), rows)
    assert isinstance(found, Break)
    assert found.at == index + 2


@relaxed
@given(logs, st.data())
def test_a_removed_row_is_found(rows: list[dict[str, Any]], draw: st.DataObject) -> None:
    del rows[draw.draw(st.integers(0, len(rows) - 2))]
    assert isinstance(follow(Head(), rows), Break)


@relaxed
@given(logs, st.data())
def test_a_removed_row_with_renumbered_successors_is_found(
    rows: list[dict[str, Any]], draw: st.DataObject
) -> None:
    del rows[draw.draw(st.integers(0, len(rows) - 2))]
    assert isinstance(follow(Head(), [{**row, "seq": number} for number, row in enumerate(rows, 1)]), Break)


@relaxed
@given(logs, st.data())
def test_swapped_rows_are_found(rows: list[dict[str, Any]], draw: st.DataObject) -> None:
    index = draw.draw(st.integers(0, len(rows) - 2))
    rows[index], rows[index + 1] = (
        {**rows[index + 1], "seq": rows[index]["seq"]},
        {**rows[index], "seq": rows[index + 1]["seq"]},
    )
    assert isinstance(follow(Head(), rows), Break)


@relaxed
@given(logs, bodies, st.data())
def test_an_inserted_row_is_found(rows: list[dict[str, Any]], body: dict[str, Any], draw: st.DataObject) -> None:
    index = draw.draw(st.integers(0, len(rows) - 1))
    before = Head(index, rows[index - 1]["hash"] if index else GENESIS)
    inserted = asdict(seal(before, [{**body, "action": "forged"}])[0])
    after = [{**row, "seq": row["seq"] + 1} for row in rows[index:]]
    assert isinstance(follow(Head(), [*rows[:index], inserted, *after]), Break)
