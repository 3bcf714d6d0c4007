import { act } from "react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { mountDag } from "../src/dag/mount";
import { mountHeader } from "../src/header/header";
import { paletteCss } from "../src/palette";
import { STATES } from "../src/protocol";
import { currentTheme, followTheme } from "../src/theme";
import { FakeModel, counts } from "./helpers";

(globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;

const HOSTILE = `<img src=x onerror="window.broken=1"><b>bold</b>`;

function rawGraph(rev: number, names: readonly string[]): unknown {
  const sets = names.map((name) => ({
    ...{ id: name, name, kind: "function", sets: 1, cores: 4, gpus: 0, memory: 0, nodes: 1, estimate: 60 },
    ...{ light: "#0072b2", dark: "#2a88d4" },
  }));
  const edges = names.slice(1).map((dst, i) => ({ src: names[i], dst, kind: "all", part: false }));
  return { rev, sets, edges, note: "" };
}

function rawStatus(seq: number, rows: readonly unknown[]): unknown {
  return { seq, phase: "live", rows, trouble: "" };
}

const settle = () => act(async () => await new Promise((done) => requestAnimationFrame(() => setTimeout(done))));

describe("the task graph", () => {
  let el: HTMLElement;
  let unmount: () => void;
  let model: FakeModel;

  const cards = () => [...el.querySelectorAll<HTMLElement>(".wb-card")];
  const where = () =>
    Object.fromEntries(
      [...el.querySelectorAll<HTMLElement>(".react-flow__node")].map((n) => [n.dataset.id, n.style.transform]),
    );

  beforeEach(async () => {
    el = document.createElement("div");
    document.body.append(el);
    model = new FakeModel({
      graph: rawGraph(1, ["prep", "sim"]),
      status: rawStatus(3, [
        ["prep", counts({ done: 1 }), null, 12],
        ["sim", counts({ running: 2, waiting: 6 }), null, null],
      ]),
      positions: {},
      direction: "LR",
    });
    await act(async () => {
      unmount = mountDag({ model, el });
    });
    await settle();
  });

  afterEach(async () => {
    await act(async () => unmount());
    el.remove();
  });

  it("shows a card for each set, labelled for those who do not see it", () => {
    expect(cards().map((c) => c.getAttribute("aria-label"))).toEqual([
      "prep: 1 task, 1 done; each 4 cores; before sim",
      "sim: 8 tasks, 2 running, 6 waiting; each 4 cores; after prep",
    ]);
    expect(el.querySelector<HTMLElement>(".wb-root")!.dataset.lmSuppressShortcuts).toBe("true");
  });

  it("follows deltas without moving a card, and saves where cards lie", async () => {
    const before = where();
    expect(Object.keys(before)).toHaveLength(2);
    expect(model.saved[0]).toMatchObject({ direction: "LR" });
    model.message({ type: "delta", seq: 4, rows: [["sim", counts({ done: 8 }), 0.5, 30]] });
    await settle();
    expect(cards()[1]!.getAttribute("aria-label")).toContain("8 done");
    expect(cards()[1]!.querySelector(".wb-rate")!.textContent).toBe("30/min");
    expect(where()).toEqual(before);
    expect(el.querySelector(".wb-aloud")!.textContent).toBe("sim ended");
  });

  it("places new sets and leaves the others where they are", async () => {
    const before = where();
    model.push("graph", rawGraph(2, ["prep", "sim", "train"]));
    await settle();
    const after = where();
    expect(Object.keys(after)).toEqual(["prep", "sim", "train"]);
    expect(after).toMatchObject(before);
  });

  it("shows names letter for letter", async () => {
    model.push("graph", rawGraph(2, [HOSTILE]));
    await settle();
    expect(cards()[0]!.querySelector(".wb-name")!.textContent).toBe(HOSTILE);
    expect(el.querySelector("img, b")).toBeNull();
    await act(async () => cards()[0]!.click());
    expect(el.querySelector(".wb-details strong")!.textContent).toBe(HOSTILE);
    expect(el.querySelector("img, b")).toBeNull();
  });

  it("is walked with the arrow keys, and opens details with Enter", async () => {
    expect(cards().map((c) => c.tabIndex)).toEqual([0, -1]);
    await act(async () => cards()[0]!.focus());
    const press = (key: string) =>
      act(async () => {
        cards()[0]!.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
      });
    await press("ArrowRight");
    expect(document.activeElement).toBe(cards()[1]);
    expect(cards().map((c) => c.tabIndex)).toEqual([-1, 0]);
    await press("Enter");
    expect(el.querySelector(".wb-details")!.getAttribute("aria-label")).toBe("Details of sim");
    await press("Escape");
    expect(el.querySelector(".wb-details")).toBeNull();
  });

  it("says what it could not read, and goes on", async () => {
    model.message({ type: "delta", seq: 5, rows: [["sim", [1], null, null]] });
    await settle();
    expect(el.querySelector(".wb-trouble")!.textContent).toContain("could not read an update");
    model.message({ type: "delta", seq: 6, rows: [["sim", counts({ failed: 8 }), null, null]] });
    await settle();
    expect(cards()[1]!.className).toContain("wb-m-failed");
  });

  it("lets go of the model when it is taken away", async () => {
    await act(async () => unmount());
    expect(model.listeners).toBe(0);
    await act(async () => {
      unmount = mountDag({ model, el });
    });
  });
});

describe("the header", () => {
  const line = (more: object = {}) => ({
    ...{
      name: HOSTILE,
      mode: "adaptive",
      policy: "fifo",
      seq: 1,
      phase: "live",
      counts: counts({ done: 1, failed: 2 }),
    },
    ...{ sets: 2, state: "running", elapsed: 61, predicted: 1235, band: null, bound: null },
    ...{ plan: "", why: "", others: [], scored: "", terms: "", trouble: "", ...more },
  });

  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it("calls the time that passed a makespan once the campaign has finished", () => {
    const el = document.createElement("div");
    const model = new FakeModel({ head: line() });
    const unmount = mountHeader({ model, el });
    const labels = (): string[] => [...el.querySelectorAll(".wb-label")].map((label) => label.textContent ?? "");
    expect(labels()).toEqual(["tasks ended", "task sets", "elapsed", "predicted makespan"]);
    model.push("head", line({ state: "finished, 2 failed" }));
    expect(labels()).toEqual(["tasks ended", "task sets", "makespan", "predicted makespan"]);
    unmount();
  });

  it("says between which times the finish is expected", () => {
    const el = document.createElement("div");
    const model = new FakeModel({ head: line() });
    const unmount = mountHeader({ model, el });
    expect(el.querySelector(".wb-band")).toBeNull();
    model.push("head", line({ band: [1210, 1261.4] }));
    expect(el.querySelector(".wb-band")!.textContent).toBe("P10–P90 20 min 10 s – 21 min 01 s");
    unmount();
  });

  it("says what policy auto chose, why, and what else there was, letter for letter", () => {
    const el = document.createElement("div");
    const model = new FakeModel({ head: line() });
    const unmount = mountHeader({ model, el });
    expect(el.querySelectorAll(".wb-told")).toHaveLength(0);
    const others = [
      [HOSTILE, 70],
      ["fifo/first", 140],
    ];
    model.push("head", line({ plan: "upward-rank/best", why: HOSTILE, others, scored: "7 of 8.", terms: "P10" }));
    const [chosen, scored] = [...el.querySelectorAll<HTMLElement>(".wb-told")];
    expect(chosen!.textContent).toBe(`auto chose upward-rank/best: ${HOSTILE}next best: ${HOSTILE}, 70 s`);
    expect(chosen!.title).toBe(`Other plans, as predicted:\n${HOSTILE}  70 s\nfifo/first  2 min 20 s`);
    expect([scored!.textContent, scored!.title]).toEqual(["7 of 8.", "P10"]);
    expect(el.querySelector("img, b")).toBeNull();
    unmount();
  });

  it("shows texts letter for letter, and goes stale when it is left alone", () => {
    const el = document.createElement("div");
    const model = new FakeModel({ head: line() });
    const unmount = mountHeader({ model, el });
    expect(el.querySelector(".wb-campaign")!.textContent).toBe(HOSTILE);
    expect(el.querySelector("img, b")).toBeNull();
    expect([...el.querySelectorAll(".wb-value")].map((v) => v.textContent)).toEqual([
      "3 of 3",
      "2",
      "61 s",
      "20 min 35 s",
    ]);
    expect(el.querySelector(".wb-legend")!.textContent).toBe("1 done2 failed");
    vi.advanceTimersByTime(3000);
    model.message({ type: "beat" });
    vi.advanceTimersByTime(3000);
    expect(el.querySelector(".wb-stale")).toBeNull();
    vi.advanceTimersByTime(3000);
    expect(el.querySelector(".wb-stale")!.textContent).toContain("STALE");
    model.push("head", line({ phase: "closed", trouble: "no engine" }));
    expect(el.querySelector(".wb-stale")).toBeNull();
    expect(el.querySelector(".wb-trouble")!.textContent).toBe("no engine");
    unmount();
    expect(model.listeners).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("themes", () => {
  afterEach(() => {
    delete document.body.dataset.jpThemeLight;
    delete document.body.dataset.vscodeThemeKind;
  });

  it("come from the front end", () => {
    document.body.dataset.vscodeThemeKind = "vscode-dark";
    expect(currentTheme()).toBe("dark");
    document.body.dataset.jpThemeLight = "true";
    expect(currentTheme()).toBe("light");
    document.body.dataset.jpThemeLight = "false";
    expect(currentTheme()).toBe("dark");
  });

  it("are followed until that is stopped", async () => {
    document.body.dataset.jpThemeLight = "true";
    const seen: string[] = [];
    const stop = followTheme((theme) => seen.push(theme));
    document.body.dataset.jpThemeLight = "false";
    await new Promise((done) => setTimeout(done));
    stop();
    document.body.dataset.jpThemeLight = "true";
    await new Promise((done) => setTimeout(done));
    expect(seen).toEqual(["light", "dark"]);
  });

  it("have a colour for every state", () => {
    for (const state of STATES) expect(paletteCss().split(`--wb-${state}: #`)).toHaveLength(3);
  });
});
