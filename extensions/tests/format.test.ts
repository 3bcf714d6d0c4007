import { describe, expect, it } from "vitest";
import {
  bytes,
  describe as sentence,
  duration,
  execution,
  rateUnit,
  resources,
  throughput,
  whole,
} from "../src/format";
import { mood, present } from "../src/states";
import { news } from "../src/dag/announce";
import { KEYS, commandFor } from "../src/dag/keyboard";
import { card, counts } from "./helpers";

describe("numbers", () => {
  it.each([
    [0, "0"],
    [999, "999"],
    [1000, "1\u202f000"],
    [1234567, "1\u202f234\u202f567"],
  ])("whole(%d)", (n, text) => expect(whole(n)).toBe(text));

  it.each([
    [0, "0 s"],
    [0.042, "0.042 s"],
    [63, "63 s"],
    [119.96, "120 s"],
    [120, "2 min 00 s"],
    [1235.2, "20 min 35 s"],
    [3599.7, "1 h 00 min"],
    [7500, "2 h 05 min"],
    [200_000, "2 d 08 h"],
    [NaN, "–"],
  ])("duration(%d)", (s, text) => expect(duration(s)).toBe(text));

  it.each([
    [512, "512 B"],
    [2 * 2 ** 30, "2 GiB"],
    [1.5 * 2 ** 20, "1.5 MiB"],
  ])("bytes(%d)", (n, text) => expect(bytes(n)).toBe(text));

  it.each([
    [null, "min", ""],
    [0, "s", ""],
    [12.34, "s", "12.3/s"],
    [0.25, "min", "15/min"],
    [0.0095, "min", "0.57/min"],
    [0.005, "h", "18/h"],
  ] as const)("throughput(%s, %s)", (rate, unit, text) => expect(throughput(rate, unit)).toBe(text));

  it.each([
    [[], "min"],
    [[null, 0], "min"],
    [[0.28, 0.0095, null], "min"],
    [[0.005, 0.001], "h"],
    [[300, 0.1], "s"],
  ] as const)("rateUnit(%j) suits the fastest", (rates, unit) => expect(rateUnit(rates)).toBe(unit));
});

describe("cards in words", () => {
  it("name resources and nodes", () => {
    expect(resources({ cores: 1, gpus: 0, memory: 0, nodes: 1 })).toBe("1 core");
    expect(resources({ cores: 16, gpus: 2, memory: 2 ** 31, nodes: 4 })).toBe("4 nodes × (16 cores · 2 GPUs · 2 GiB)");
  });

  it("prefer the measured time to the declared one", () => {
    expect(execution({ estimate: 340 }, null)).toBe("~ 5 min 40 s");
    expect(execution({ estimate: 340 }, 63)).toBe("⌀ 63 s");
    expect(execution({ estimate: null }, null)).toBe("TX ?");
  });

  it("say everything in a sentence", () => {
    const status = { counts: counts({ done: 2, running: 1 }), rate: null, mean: null };
    expect(sentence(card("sim", { cores: 4, gpus: 1 }), status, ["prep"], ["train", "infer"])).toBe(
      "sim: 3 tasks, 2 done, 1 running; each 4 cores · 1 GPU; after prep; before train, infer",
    );
  });
});

describe("mood", () => {
  it.each([
    ["idle", { waiting: 5 }],
    ["idle", { held: 1, ready: 4 }],
    ["held", { held: 5, done: 1 }],
    ["active", { running: 1, waiting: 9 }],
    ["active", { running: 1, failed: 1, done: 8 }],
    ["failed", { failed: 5, done: 5 }],
    ["failed", { failed: 1, skipped: 9 }],
    ["mixed", { failed: 1, done: 9 }],
    ["stopped", { cancelled: 6, done: 4 }],
    ["done", { done: 3 }],
    ["idle", {}],
  ] as const)("is %s for %o", (expected, given) => expect(mood(counts(given))).toBe(expected));

  it("lists states in the order of the bar, without empty ones", () => {
    expect(present(counts({ waiting: 1, done: 2 })).map((s) => s.state)).toEqual(["done", "waiting"]);
  });
});

describe("news", () => {
  it("tells of an end and of the first failure, once", () => {
    const set = card("sim");
    expect(news(set, counts({ running: 2 }), counts({ running: 1, done: 1 }))).toBe("");
    expect(news(set, counts({ running: 1, done: 1 }), counts({ done: 2 }))).toBe("sim ended");
    expect(news(set, counts({ done: 2 }), counts({ done: 2 }))).toBe("");
    expect(news(set, counts({ running: 3 }), counts({ running: 2, failed: 1 }))).toBe("sim: first failed task");
    expect(news(set, counts({ running: 2, failed: 1 }), counts({ running: 1, failed: 2 }))).toBe("");
    expect(news(set, counts({ running: 1, failed: 1 }), counts({ done: 1, failed: 1 }))).toBe(
      "sim ended, 1 of 2 failed",
    );
  });
});

describe("keys", () => {
  const press = (key: string, ctrlKey = false) => commandFor({ key, ctrlKey, metaKey: false, altKey: false });

  it("are each bound once", () => {
    const keys = KEYS.flatMap((entry) => entry.keys);
    expect(new Set(keys).size).toBe(keys.length);
  });

  it("leave shortcuts of the browser and unknown keys alone", () => {
    expect(press("f")).toEqual({ do: "fit" });
    expect(press("f", true)).toBeNull();
    expect(press("q")).toBeNull();
  });
});
