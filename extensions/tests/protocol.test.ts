import { describe, expect, it } from "vitest";
import { ProtocolError, parseGraph, parseHead, parseMessage, parsePositions, parseStatus } from "../src/protocol";
import { counts } from "./helpers";

const SET = {
  ...{ id: "a", name: "a", kind: "function", sets: 1, cores: 4, gpus: 1, memory: 0, nodes: 1, estimate: 340 },
  ...{ light: "#0072b2", dark: "#2a88d4" },
};

describe("parseGraph", () => {
  it("reads what Python sends", () => {
    const graph = parseGraph({
      rev: 3,
      sets: [SET, { ...SET, id: "b", estimate: null, light: "", dark: "" }],
      edges: [{ src: "a", dst: "b", kind: "each", part: false }],
      note: "",
    });
    expect(graph.sets.map((s) => s.colors)).toEqual([
      ["#0072b2", "#2a88d4"],
      ["", ""],
    ]);
    expect(graph.edges).toEqual([{ src: "a", dst: "b", kind: "each", part: false }]);
  });

  it.each([
    ["an edge into nowhere", { rev: 1, sets: [SET], edges: [{ src: "a", dst: "z", kind: "all" }], note: "" }],
    ["a colour that is none", { rev: 1, sets: [{ ...SET, light: "red;background:url(x)" }], edges: [], note: "" }],
    ["a number that is none", { rev: 1, sets: [{ ...SET, cores: "4" }], edges: [], note: "" }],
    ["no list", { rev: 1, sets: {}, edges: [], note: "" }],
    ["nothing", null],
  ])("refuses %s", (_, value) => {
    expect(() => parseGraph(value)).toThrow(ProtocolError);
  });
});

describe("parseStatus and parseMessage", () => {
  it("read rows", () => {
    const rows = [["a", counts({ done: 2 }), 0.5, null]];
    const status = parseStatus({ seq: 4, phase: "live", rows, trouble: "" });
    expect(status.rows.get("a")).toEqual({ counts: counts({ done: 2 }), rate: 0.5, mean: null });
    expect(parseMessage({ type: "delta", seq: 5, rows })).toMatchObject({ type: "delta", seq: 5 });
  });

  it("refuse counts of another length, since they would name other states", () => {
    expect(() => parseMessage({ type: "delta", seq: 5, rows: [["a", [1, 2], null, null]] })).toThrow(ProtocolError);
  });

  it("pass over messages of a newer Python", () => {
    expect(parseMessage({ type: "hologram" })).toBeNull();
  });

  it("refuse a phase that is none", () => {
    expect(() => parseMessage({ type: "beat", seq: 1, phase: "asleep" })).toThrow(ProtocolError);
  });
});

describe("parseHead", () => {
  it("reads missing times as unknown", () => {
    const head = parseHead({
      ...{ name: "x", mode: "adaptive", policy: "fifo", seq: 1, phase: "live", counts: counts({}), sets: 0 },
      ...{ state: "running", elapsed: null, predicted: null, band: null, bound: null },
      ...{ plan: "", why: "", others: [], scored: "", terms: "", trouble: "" },
    });
    expect(head.predicted).toBeNull();
    expect(head.band).toBeNull();
  });

  it("refuses a band that is not made of numbers", () => {
    const raw = {
      ...{ name: "x", mode: "adaptive", policy: "fifo", seq: 1, phase: "live", counts: counts({}), sets: 0 },
      ...{ state: "running", elapsed: null, predicted: null, band: [1, "2"], bound: null },
      ...{ plan: "", why: "", others: [], scored: "", terms: "", trouble: "" },
    };
    expect(() => parseHead(raw)).toThrow(ProtocolError);
    expect(() => parseHead({ ...raw, band: [1, 2], others: [["fifo", null]] })).toThrow(ProtocolError);
    expect(parseHead({ ...raw, band: [1, 2], others: [["fifo", 3]] }).others).toEqual([["fifo", 3]]);
  });
});

describe("parsePositions", () => {
  it("keeps what is a position and drops the rest", () => {
    expect(parsePositions({ a: [1, 2], b: [1], c: "x", d: [1, Infinity] })).toEqual({ a: [1, 2] });
    expect(parsePositions(undefined)).toEqual({});
  });
});
