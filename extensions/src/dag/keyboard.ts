/** One table of keys: what they do, and what the help says about them. */
import { type Step } from "../layout";

export type Command =
  | { readonly do: "step"; readonly step: Step }
  | { readonly do: "first" | "last" | "select" | "clear" | "fit" | "in" | "out" | "tidy" };

export interface Key {
  readonly keys: readonly string[];
  readonly shown: string;
  readonly help: string;
  readonly command: Command;
}

export const KEYS: readonly Key[] = [
  { keys: ["ArrowLeft"], shown: "←", help: "card to the left", command: { do: "step", step: "left" } },
  { keys: ["ArrowRight"], shown: "→", help: "card to the right", command: { do: "step", step: "right" } },
  { keys: ["ArrowUp"], shown: "↑", help: "card above", command: { do: "step", step: "up" } },
  { keys: ["ArrowDown"], shown: "↓", help: "card below", command: { do: "step", step: "down" } },
  { keys: ["Home"], shown: "Home", help: "first card", command: { do: "first" } },
  { keys: ["End"], shown: "End", help: "last card", command: { do: "last" } },
  { keys: ["Enter", " "], shown: "Enter", help: "details of the card", command: { do: "select" } },
  { keys: ["Escape"], shown: "Esc", help: "close the details", command: { do: "clear" } },
  { keys: ["f"], shown: "f", help: "fit the graph", command: { do: "fit" } },
  { keys: ["+", "="], shown: "+", help: "zoom in", command: { do: "in" } },
  { keys: ["-"], shown: "-", help: "zoom out", command: { do: "out" } },
  { keys: ["t"], shown: "t", help: "lay the graph out anew", command: { do: "tidy" } },
];

/** The command of a key; null for other keys and when a modifier says that it is meant for somebody else. */
export function commandFor(event: Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey">): Command | null {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  return KEYS.find((entry) => entry.keys.includes(event.key))?.command ?? null;
}

/** All keys in one line. */
export function help(): string {
  return KEYS.map((entry) => `${entry.shown} ${entry.help}`).join(", ");
}
