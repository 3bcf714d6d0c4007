import { beforeEach, describe, expect, it } from "vitest";
import { type SetStatus } from "../src/protocol";
import { CampaignStore, STALE_AFTER_MS } from "../src/store";
import { counts, graph } from "./helpers";

function row(given: Parameters<typeof counts>[0]): SetStatus {
  return { counts: counts(given), rate: null, mean: null };
}

describe("CampaignStore", () => {
  let frames: (() => void)[];
  let time: number;
  let store: CampaignStore;

  const frame = (): void => {
    for (const flush of frames.splice(0)) flush();
  };

  beforeEach(() => {
    frames = [];
    time = 0;
    store = new CampaignStore({ schedule: (flush) => frames.push(flush), now: () => time });
  });

  it("tells the listeners of what changed once a frame, and nobody else", () => {
    const told: string[] = [];
    store.subscribe("set:a", () => told.push("a"));
    store.subscribe("set:b", () => told.push("b"));
    store.applyMessage({ type: "delta", seq: 1, rows: new Map([["a", row({ running: 1 })]]) });
    store.applyMessage({ type: "delta", seq: 2, rows: new Map([["a", row({ done: 1 })]]) });
    expect(told).toEqual([]);
    frame();
    expect(told).toEqual(["a"]);
    expect(store.row("a").counts).toEqual(counts({ done: 1 }));
  });

  it("gives all rates one unit, and tells when it changes", () => {
    const told: string[] = [];
    store.subscribe("unit", () => told.push(store.unit));
    const rate = (perSecond: number): SetStatus => ({ ...row({ done: 1 }), rate: perSecond });
    store.applyMessage({ type: "delta", seq: 1, rows: new Map([["a", rate(0.005)]]) });
    frame();
    store.applyMessage({ type: "delta", seq: 2, rows: new Map([["b", rate(0.3)]]) });
    store.applyMessage({ type: "delta", seq: 3, rows: new Map([["b", rate(0.4)]]) });
    frame();
    expect(told).toEqual(["h", "min"]);
  });

  it("keeps the object of a row that did not change, so that its card is not drawn again", () => {
    store.applyMessage({ type: "delta", seq: 1, rows: new Map([["a", row({ ready: 2 })]]) });
    const before = store.row("a");
    store.applyMessage({ type: "delta", seq: 2, rows: new Map([["a", row({ ready: 2 })]]) });
    expect(store.row("a")).toBe(before);
  });

  it("drops what is older than what it shows", () => {
    store.applyMessage({ type: "delta", seq: 5, rows: new Map([["a", row({ done: 3 })]]) });
    store.applyMessage({ type: "delta", seq: 4, rows: new Map([["a", row({ running: 3 })]]) });
    store.applyStatus({ seq: 3, phase: "live", rows: new Map([["a", row({ ready: 3 })]]), trouble: "" }, true);
    expect(store.row("a").counts).toEqual(counts({ done: 3 }));
  });

  it("is healed by the next whole status when a delta was lost", () => {
    store.applyMessage({ type: "delta", seq: 1, rows: new Map([["a", row({ running: 1 })]]) });
    // The delta with seq 2 never arrived.
    store.applyStatus({ seq: 2, phase: "live", rows: new Map([["a", row({ done: 1 })]]), trouble: "" }, true);
    expect(store.row("a").counts).toEqual(counts({ done: 1 }));
  });

  it("takes a graph only when it is newer", () => {
    store.applyGraph(graph(["a", "b"], [], 2));
    store.applyGraph(graph(["a"], [], 1));
    expect(store.graph.sets).toHaveLength(2);
  });

  it("is stale when a live campaign falls silent, and not when it is closed", () => {
    store.applyStatus({ seq: 1, phase: "live", rows: new Map(), trouble: "" }, true);
    time = STALE_AFTER_MS;
    expect(store.staleFor()).toBeNull();
    time = STALE_AFTER_MS + 500;
    expect(store.staleFor()).toBe(4);
    store.applyMessage({ type: "beat", seq: 1, phase: "live" });
    expect(store.staleFor()).toBeNull();
    store.applyMessage({ type: "beat", seq: 1, phase: "closed" });
    time += 60_000;
    expect(store.staleFor()).toBeNull();
  });

  it("is stale from the start when what it found in a trait is old news", () => {
    store.applyStatus({ seq: 1, phase: "live", rows: new Map(), trouble: "" }, false);
    time = STALE_AFTER_MS + 1;
    expect(store.staleFor()).not.toBeNull();
  });

  it("keeps a complaint until it is taken back", () => {
    store.applyMessage({ type: "trouble", text: "the journal is damaged" });
    expect(store.trouble).toBe("the journal is damaged");
    store.applyMessage({ type: "trouble", text: "" });
    expect(store.trouble).toBe("");
  });

  it("forgets listeners that left", () => {
    let told = 0;
    const stop = store.subscribe("graph", () => (told += 1));
    stop();
    store.applyGraph(graph(["a"]));
    frame();
    expect(told).toBe(0);
  });
});
