/** The picture of the stack: what a filter leaves, what a tile says, which button a repair is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRoute } from "../src/router.ts";
import { EVERYTHING, OUTCOMES, buttonFor, chosen, matches, said, shares, tags, told } from "../src/stack/filter.ts";
import type { Drift, SystemCard } from "../src/stack/types.ts";

function card(given: Partial<SystemCard> = {}): SystemCard {
  return {
    id: "nats-server", name: "NATS", role: "events", status: "default", kind: "server", summary: "the event bus",
    origin: "specification", outcome: "works", version: "2.15.1", proven_at: null, locked: true, lockable: true, unproven: null,
    installed: null, component: "nats", state: "ready", drift: [], ...given,
  };
}

function drift(repair: string): Drift {
  return { level: "installed", severity: "error", subject: "nats-server", message: "differs", repair };
}

test("a filter looks at names, roles and purposes, and every word of it must be there", () => {
  for (const words of ["nats", "EVENT bus", "events", ""]) assert.ok(matches(card(), { ...EVERYTHING, words }), words);
  assert.ok(!matches(card(), { ...EVERYTHING, words: "nats redis" }));
  assert.ok(!matches(card(), { ...EVERYTHING, status: "off" }));
  assert.ok(!matches(card(), { ...EVERYTHING, outcome: "failed" }));
  assert.ok(!matches(card(), { ...EVERYTHING, drifted: true }));
  assert.ok(matches(card({ drift: [drift("x")] }), { ...EVERYTHING, drifted: true }));
  assert.ok(!matches(card(), { ...EVERYTHING, unlocked: true }));
  assert.ok(matches(card({ locked: false }), { ...EVERYTHING, unlocked: true }));
});

test("a layer without a matching system is left out", () => {
  const layers = [
    { id: "1.9", name: "Messaging", purpose: "", systems: [card(), card({ id: "n8n", name: "n8n", summary: "", role: "" })] },
    { id: "1.2", name: "Host", purpose: "", systems: [card({ id: "nix", name: "Nix", role: "host.os", summary: "" })] },
  ];
  assert.deepEqual(chosen(layers, { ...EVERYTHING, words: "n8n" }).map((one) => one.systems.map((each) => each.id)), [["n8n"]]);
  assert.equal(chosen(layers, EVERYTHING).length, 2);
});

test("the shares of all outcomes are one, and an outcome that does not occur has none", () => {
  const found = shares({ works: 3, external: 1, failed: 0 });
  assert.deepEqual(found.map((one) => [one.outcome, one.count, one.share]), [["works", 3, 0.75], ["external", 1, 0.25]]);
  assert.deepEqual(shares({}), []);
});

test("a tile says in words what its colour shows", () => {
  assert.equal(said(card()), "NATS: Works, ready");
  assert.equal(said(card({ state: null, outcome: "unproven", drift: [drift("x")] })), "NATS: Not proven, 1 difference");
  assert.equal(said(card({ locked: false })), "NATS: Works, ready, not locked");
  assert.equal(said(card({ locked: false, lockable: false })), "NATS: Works, ready", "no route, nothing to lock");
  assert.equal(told(card()), "the event bus\nProven with 2.15.1. Locked. nats is ready.");
  assert.equal(told(card({ version: "", locked: false, component: null })), "the event bus\nNot locked.");
  assert.equal(told(card({ version: "", locked: false, lockable: false, component: null })), "the event bus\nNothing to lock.");
  assert.equal(new Set(Object.values(OUTCOMES).map((one) => one.mark)).size, Object.keys(OUTCOMES).length, "a mark each");
});

test("what has no proof or no lock says so on its tile, and nothing else does", () => {
  assert.deepEqual(tags(card()), []);
  assert.deepEqual(tags(card({ locked: false, lockable: false })), []);
  const unproven = { reason: "there is no evidence", verb: "verify" as const };
  assert.deepEqual(tags(card({ unproven, outcome: "unproven", locked: false })), ["not proven", "not locked"]);
  const half = { ...drift("./ripple lock update nats-server"), level: "lock" };
  assert.deepEqual(tags(card({ drift: [half] })), ["not locked"], "one of its routes has no lock");
  assert.ok(matches(card({ drift: [half] }), { ...EVERYTHING, unlocked: true }));
  assert.ok(!matches(card({ locked: false, lockable: false }), { ...EVERYTHING, unlocked: true }));
});

test("a repair that the console can do is a button, any other one is a command to read", () => {
  const cards = [card()];
  assert.deepEqual(buttonFor(drift("./ripple component fix nats-server"), cards), { verb: "fix", system: "nats-server" });
  const both = "./ripple component fix nats-server, then ./ripple restart nats-server";
  assert.deepEqual(buttonFor(drift(both), cards), { verb: "fix", system: "nats-server" });
  assert.deepEqual(buttonFor(drift("./ripple restart nats"), cards), { verb: "restart", system: "nats-server" });
  assert.deepEqual(buttonFor(drift("./ripple verify nats-server"), cards), { verb: "verify", system: "nats-server" });
  for (const command of ["./ripple stack generate", "./ripple lock update nats-server", "./ripple restart strange", "rm -rf nats-server"]) {
    assert.equal(buttonFor(drift(command), cards), null, command);
  }
});

test("the map and each system of it have a page of their own", () => {
  assert.deepEqual([parseRoute("#/stack").page, parseRoute("#/stack/nats-server").page], ["stack", "system"]);
  assert.equal(parseRoute("#/stack/nats-server").argument, "nats-server");
});
