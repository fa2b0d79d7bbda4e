/** Which systems a person asked to see, and what the picture says of them. Pure. */
import { plural } from "../format.ts";
import type { Word } from "../words.ts";
import type { Drift, Outcome, Stack, StackLayer, SystemCard, Verb } from "./types.ts";

export const OUTCOMES: Record<Outcome, Word & { mark: string }> = {
  works: { text: "Works", tone: "good", mark: "✓" },
  installs: { text: "Installs", tone: "warn", mark: "◐" },
  "not obtainable here": { text: "Not obtainable here", tone: "quiet", mark: "–" },
  external: { text: "External", tone: "quiet", mark: "↗" },
  failed: { text: "Failed", tone: "bad", mark: "✗" },
  unproven: { text: "Not proven", tone: "warn", mark: "?" },
};

export const STATUSES = ["default", "alternate", "plugin", "optional", "off"];
export const ORDER = Object.keys(OUTCOMES) as Outcome[];

export interface Wanted {
  words: string;
  status: string;
  outcome: string;
  drifted: boolean;
  unlocked: boolean;
}

export const EVERYTHING: Wanted = { words: "", status: "", outcome: "", drifted: false, unlocked: false };

export function matches(card: SystemCard, wanted: Wanted): boolean {
  const text = `${card.id} ${card.name} ${card.role} ${card.summary}`.toLowerCase();
  return (
    wanted.words.toLowerCase().split(/\s+/).every((word) => text.includes(word)) &&
    (wanted.status === "" || card.status === wanted.status) &&
    (wanted.outcome === "" || card.outcome === wanted.outcome) &&
    (!wanted.drifted || card.drift.length > 0) &&
    (!wanted.unlocked || unlocked(card))
  );
}

/** Whether some of what could be locked of a system is not; where no route leads, there is nothing to lock. */
export function unlocked(card: SystemCard): boolean {
  return (card.lockable && !card.locked) || card.drift.some((one) => one.level === "lock");
}

/** What a tile says in a word of its own, because somebody has to do something about it. */
export function tags(card: SystemCard): string[] {
  return [card.unproven ? "not proven" : "", unlocked(card) ? "not locked" : ""].filter(Boolean);
}

/** The layers that have a matching system, with those alone. */
export function chosen(layers: StackLayer[], wanted: Wanted): StackLayer[] {
  return layers
    .map((layer) => ({ ...layer, systems: layer.systems.filter((card) => matches(card, wanted)) }))
    .filter((layer) => layer.systems.length > 0);
}

/** Each outcome that occurs, with its share of all. */
export function shares(counts: Stack["counts"]): { outcome: Outcome; count: number; share: number }[] {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return ORDER.filter((outcome) => counts[outcome]).map((outcome) => {
    const count = counts[outcome] ?? 0;
    return { outcome, count, share: count / total };
  });
}

/** What a tile is called for whoever cannot see its colour. */
export function said(card: SystemCard): string {
  const drift = card.drift.length > 0 ? `, ${plural(card.drift.length, "difference")}` : "";
  const state = card.state ? `, ${card.state}` : "";
  const lock = unlocked(card) ? ", not locked" : "";
  return `${card.name}: ${OUTCOMES[card.outcome]?.text ?? card.outcome}${state}${lock}${drift}`;
}

/** What a tile tells of its system to whoever points at it: what it is for, and what of it is here. */
export function told(card: SystemCard): string {
  const proven = card.version ? `Proven with ${card.version}` : "";
  const runs = card.component && card.state ? `${card.component} is ${card.state}` : "";
  const lock = unlocked(card) ? "Not locked" : card.locked ? "Locked" : "Nothing to lock";
  const facts = [proven, card.installed ? `${card.installed} is installed` : "", lock, runs];
  return `${card.summary}\n${facts.filter(Boolean).join(". ")}.`;
}

const BY_COMMAND: Record<string, Verb> = { "component install": "install", "component fix": "fix", "component remove": "remove", verify: "verify", restart: "restart" };

/** The button that does what a repair's command does, if there is one: the verb, and whose it is. */
export function buttonFor(drift: Drift, cards: SystemCard[]): { verb: Verb; system: string } | null {
  const words = /^\.\/ripple (component (?:install|fix|remove)|verify|restart) (\S+?)(?:, then .*)?$/.exec(drift.repair);
  const verb = words?.[1] ? BY_COMMAND[words[1]] : undefined;
  const owner = cards.find((card) => card.id === words?.[2] || card.component === words?.[2]);
  return verb && owner ? { verb, system: owner.id } : null;
}
