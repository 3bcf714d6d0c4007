/**
 * What Python said about a document, kept for views that open late: the last whole document and the patches since.
 *
 * Patches are numbered without gaps. One that is lost is not asked for again at once: the next whole document, which
 * Python sends from time to time, contains it; but a kernel that is idle is asked, because then it answers at once.
 */
import { type Model, onMessage, onTrait } from "../widget";

export interface Whole {
  /** Number of the last patch that the document contains. */
  readonly version: number;
  readonly json: string;
  /** Share of the width, in twelfths, for each root. */
  readonly spans: readonly number[];
}

export interface Patch {
  readonly version: number;
  /** JSON text. */
  readonly patch: string;
  readonly buffers: Map<string, ArrayBuffer>;
}

export function parseWhole(value: unknown): Whole | null {
  const raw = value as Partial<Whole> | null;
  if (!raw || typeof raw.version !== "number" || typeof raw.json !== "string" || !Array.isArray(raw.spans)) return null;
  return { version: raw.version, json: raw.json, spans: raw.spans };
}

export function parsePatch(content: unknown, views: readonly DataView[]): Patch | null {
  const raw = content as { type?: unknown; version?: unknown; patch?: unknown; ids?: unknown } | null;
  if (!raw || raw.type !== "patch" || typeof raw.version !== "number") return null;
  if (typeof raw.patch !== "string" || !Array.isArray(raw.ids)) return null;
  const buffers = new Map<string, ArrayBuffer>();
  raw.ids.forEach((id: unknown, i) => {
    const view = views[i];
    if (typeof id !== "string" || !view) return;
    // A copy: typed arrays on it need aligned offsets.
    buffers.set(id, view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength) as ArrayBuffer);
  });
  return { version: raw.version, patch: raw.patch, buffers };
}

/** More than any view will ever apply; a whole document comes long before. */
const MOST_PATCHES = 2000;

export class PatchLog {
  whole: Whole | null = null;
  private patches: Patch[] = [];
  private asked = false;
  private readonly listeners = new Set<() => void>();
  private release: (() => void) | null = null;

  /** Begins to hear a model; later calls change nothing. */
  listen(model: Model): void {
    if (this.release) return;
    this.takeWhole(parseWhole(model.get("document")));
    const stopTrait = onTrait(model, "document", (value) => this.takeWhole(parseWhole(value)));
    const stopMessages = onMessage(model, (content, views) => {
      const patch = parsePatch(content, views);
      if (patch && this.takePatch(patch)) model.send({ type: "whole" });
    });
    this.release = () => {
      stopTrait();
      stopMessages();
    };
  }

  takeWhole(whole: Whole | null): void {
    if (!whole || (this.whole && whole.version <= this.whole.version)) return;
    this.whole = whole;
    this.asked = false;
    this.patches = this.patches.filter((patch) => patch.version > whole.version);
    this.tell();
  }

  /** Keeps a patch; true when one before it is missing and nobody asked for a whole document yet. */
  takePatch(patch: Patch): boolean {
    const last = this.patches[this.patches.length - 1]?.version ?? this.whole?.version ?? -1;
    if (patch.version <= last) return false;
    const ask = patch.version > last + 1 && !this.asked;
    this.asked ||= ask;
    this.patches.push(patch);
    if (this.patches.length > MOST_PATCHES) this.patches.shift();
    this.tell();
    return ask;
  }

  /** Patches that lead on from `version`, up to the first gap; null when only a whole document leads on. */
  since(version: number): readonly Patch[] | null {
    if (this.whole && this.whole.version > version) return null;
    const found: Patch[] = [];
    for (const patch of this.patches) {
      if (patch.version === version + found.length + 1) found.push(patch);
    }
    return found;
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  close(): void {
    this.release?.();
    this.listeners.clear();
  }

  private tell(): void {
    for (const listener of [...this.listeners]) listener();
  }
}
