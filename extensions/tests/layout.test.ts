import { describe, expect, it } from "vitest";
import { CARD, arrange, bounds, freeHeight, inOrder, neighbour, place, tangle, zoomToFit } from "../src/layout";
import { type Positions } from "../src/protocol";
import { tidyPlaces, updatePlaces } from "../src/dag/places";
import { heightFor } from "../src/dag/Dag";
import { reachesOut } from "../src/dag/Overview";
import { graph, random, randomGraph } from "./helpers";

function overlaps(positions: Positions): string[] {
  const all = Object.entries(positions);
  return all.flatMap(([a, p], i) =>
    all
      .slice(i + 1)
      .filter(([, q]) => Math.abs(p[0] - q[0]) < CARD.width && Math.abs(p[1] - q[1]) < CARD.height)
      .map(([b]) => `${a} and ${b}`),
  );
}

describe("arrange", () => {
  it("gives every set a place, no two on top of each other, the same each time", () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const g = randomGraph(30, 0.08, random(seed));
      const { positions } = arrange(g);
      expect(Object.keys(positions).sort(), `seed ${seed}`).toEqual(g.sets.map((s) => s.id).sort());
      expect(overlaps(positions), `seed ${seed}`).toEqual([]);
      expect(arrange(g).positions).toEqual(positions);
    }
  });

  it("folds a long chain, so that it can be read at the width of a notebook cell", () => {
    const ids = Array.from({ length: 12 }, (_, i) => `s${i}`);
    const chain = graph(
      ids,
      ids.slice(1).map((id, i) => `s${i}>${id}`),
    );
    const { direction, positions } = arrange(chain);
    const box = bounds(positions);
    expect(direction).toBe("LR");
    expect(new Set(Object.values(positions).map((p) => p[1])).size).toBeGreaterThan(1);
    expect(zoomToFit(box, { width: 940, height: 540 })).toBeGreaterThan(0.6);
    // Within a band the chain runs to the right, and bands follow each other downwards.
    ids.slice(1).forEach((id, i) => {
      const [from, to] = [positions[`s${i}`]!, positions[id]!];
      expect(to[0] > from[0] || to[1] > from[1]).toBe(true);
    });
  });

  it("does not fold a graph for one last card", () => {
    const example = graph(["T0", "T1", "T2", "T3", "T4", "T5"], ["T0>T1", "T0>T2", "T1>T3", "T2>T4", "T3>T5"]);
    const { direction, positions } = arrange(example);
    expect(direction).toBe("LR");
    for (const { src, dst } of example.edges) expect(positions[dst]![0]).toBeGreaterThan(positions[src]![0]);
  });

  it("leaves a short graph in one band", () => {
    const { positions } = arrange(graph(["a", "b", "c"], ["a>b", "b>c"]));
    expect(new Set(Object.values(positions).map((p) => p[1])).size).toBe(1);
  });

  it("copes with sets that wait for each other", () => {
    const g = graph(["a", "b", "c"], ["a>b", "b>a", "b>c"]);
    expect(Object.keys(arrange(g).positions)).toHaveLength(3);
    expect(inOrder(g)).toHaveLength(3);
    const places = updatePlaces(g, tidyPlaces(graph(["a"])));
    expect(updatePlaces(g, places)).toBe(places);
  });

  it("copes with nothing", () => {
    expect(arrange(graph([])).positions).toEqual({});
    expect(heightFor({}, 800)).toBeGreaterThan(0);
  });
});

describe("place", () => {
  it("never moves a card that has a place, and puts the others clear of everything", () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const next = random(seed);
      const whole = randomGraph(24, 0.1, next);
      let known: Positions = {};
      let direction = arrange(graph([])).direction;
      for (let n = 4; n <= 24; n += 4) {
        const ids = new Set(whole.sets.slice(0, n).map((s) => s.id));
        const part = {
          ...whole,
          sets: whole.sets.slice(0, n),
          edges: whole.edges.filter((e) => ids.has(e.src) && ids.has(e.dst)),
        };
        const before = known;
        if (n === 4) ({ positions: known, direction } = arrange(part));
        else known = place(part, before, direction);
        for (const [id, at] of Object.entries(before)) expect(known[id], `seed ${seed}`).toEqual(at);
        expect(overlaps(known), `seed ${seed}`).toEqual([]);
        expect(Object.keys(known)).toHaveLength(n);
      }
    }
  });

  it("puts a set to the right of what it depends on", () => {
    const known = arrange(graph(["a", "b"], ["a>b"])).positions;
    const grown = place(graph(["a", "b", "c"], ["a>b", "b>c"]), known, "LR");
    expect(grown["c"]![0]).toBeGreaterThan(grown["b"]![0] + CARD.width);
    expect(grown["c"]![1]).toBe(grown["b"]![1]);
  });

  it("begins a new band instead of growing out of sight", () => {
    const ids = Array.from({ length: 30 }, (_, i) => `s${i}`);
    let known = arrange(graph(ids.slice(0, 2), ["s0>s1"])).positions;
    for (let n = 3; n <= 30; n += 1) {
      const ties = ids.slice(1, n).map((id, i) => `s${i}>${id}`);
      known = place(graph(ids.slice(0, n), ties), known, "LR");
    }
    expect(bounds(known).width).toBeLessThan(1600);
    expect(overlaps(known)).toEqual([]);
  });

  it("keeps the rounds of a loop together, and the picture large, while it grows", () => {
    const kinds = ["sim", "agg", "train", "infer", "agent"];
    const sets = Array.from({ length: 8 }, (_, k) => kinds.map((kind) => `${kind}-${k}`));
    const ties = sets.flatMap((_, k) => [
      ...["sim>agg", "agg>train", "agg>infer", "infer>agent"].map((tie) =>
        tie.replace(/\w+/g, (kind) => `${kind}-${k}`),
      ),
      ...(k > 0 ? [`agent-${k - 1}>agent-${k}`, `train-${k - 1}>train-${k}`, `train-${k - 1}>infer-${k}`] : []),
    ]);
    const until = (rounds: number) => {
      const ids = sets.slice(0, rounds).flat();
      return graph(
        ids,
        ties.filter((tie) => tie.split(">").every((id) => ids.includes(id))),
      );
    };
    let { positions: known, direction } = arrange(until(2));
    for (let k = 3; k <= 8; k += 1) {
      known = place(until(k), known, direction);
      const block = bounds(Object.fromEntries(sets[k - 1]!.map((id) => [id, known[id]!])));
      expect(block.width, `round ${k - 1}`).toBeLessThan(4 * 300);
      expect(block.height, `round ${k - 1}`).toBeLessThan(3 * 140);
    }
    expect(overlaps(known)).toEqual([]);
    expect(zoomToFit(bounds(known), { width: 1050, height: 480 })).toBeGreaterThan(0.33);
  });

  it.each([
    ["rounds", 5, 1.6],
    ["single sets", 1, 3],
  ])("draws a loop that grew by %s not much less plainly than if it were laid out anew", (_, step, factor) => {
    const kinds = ["sim", "agg", "train", "infer", "agent"];
    const rounds = Array.from({ length: 6 }, (_, k) => kinds.map((kind) => `${kind}-${k}`));
    const ties = rounds.flatMap((_, k) => [
      ...[`sim-${k}>agg-${k}`, `agg-${k}>train-${k}`, `agg-${k}>infer-${k}`, `infer-${k}>agent-${k}`],
      ...(k > 0 ? [`train-${k - 1}>train-${k}`, `train-${k - 1}>infer-${k}`, `agent-${k - 1}>agent-${k}`] : []),
      ...(k > 1 ? [`agent-${k - 2}>sim-${k}`] : []),
    ]);
    const ids = rounds.flat();
    const of = (n: number) => {
      const known = new Set(ids.slice(0, n));
      return graph(
        [...known],
        ties.filter((tie) => tie.split(">").every((id) => known.has(id))),
      );
    };
    const anew = arrange(of(30));
    let { positions, direction } = arrange(of(10));
    for (let n = 10 + step; n <= 30; n += step) positions = place(of(n), positions, direction);
    expect(overlaps(positions)).toEqual([]);
    const [grown, best] = [
      tangle(positions, of(30).edges, direction),
      tangle(anew.positions, of(30).edges, anew.direction),
    ];
    expect(grown).toBeLessThan(factor * best);
  });

  it("counts what a tie is drawn across, and what runs back", () => {
    const g = graph(["a", "b", "c"], ["a>c"]);
    const plain = tangle({ a: [0, 0], b: [300, 200], c: [600, 0] }, g.edges, "LR");
    expect(plain).toBeLessThan(0.5);
    expect(tangle({ a: [0, 0], b: [300, 0], c: [600, 0] }, g.edges, "LR")).toBe(plain + 1);
    const down = tangle({ a: [600, 0], b: [300, 400], c: [0, 200] }, g.edges, "LR");
    const up = tangle({ a: [600, 200], b: [300, 400], c: [0, 0] }, g.edges, "LR");
    expect(down).toBeGreaterThan(plain + 1);
    expect(up).toBeGreaterThan(down + 1);
  });

  it("remembers where a removed set was", () => {
    const both = graph(["a", "b"], ["a>b"]);
    const first = updatePlaces(both, { positions: {}, direction: "LR" });
    const without = updatePlaces(graph(["a"], [], 2), first);
    expect(updatePlaces(both, without).positions["b"]).toEqual(first.positions["b"]);
  });
});

describe("neighbour", () => {
  const positions: Positions = { a: [0, 0], b: [300, 0], c: [300, 200], d: [600, 100] };

  it("walks to the nearest card in the direction of the key", () => {
    expect(neighbour(positions, "a", "right")).toBe("b");
    expect(neighbour(positions, "b", "down")).toBe("c");
    expect(neighbour(positions, "d", "left")).toBe("b");
    expect(neighbour(positions, "c", "up")).toBe("b");
  });

  it("stays where there is nothing further", () => {
    expect(neighbour(positions, "a", "left")).toBeNull();
    expect(neighbour(positions, "nobody", "left")).toBeNull();
  });

  it("reaches every card of a connected picture from every other", () => {
    const { positions: drawn } = arrange(randomGraph(20, 0.15, random(7)));
    const seen = new Set(["s0"]);
    const open = ["s0"];
    for (let id = open.pop(); id; id = open.pop()) {
      for (const step of ["left", "right", "up", "down"] as const) {
        const next = neighbour(drawn, id, step);
        if (next && !seen.has(next)) {
          seen.add(next);
          open.push(next);
        }
      }
    }
    expect(seen.size).toBe(20);
  });
});

describe("freeHeight", () => {
  it("finds the strip between two bands", () => {
    const y = freeHeight({ a: [0, 0], b: [300, 40], c: [0, 300] }, 52, 352);
    expect(y).toBe((144 + 300) / 2);
  });

  it("says so when there is none", () => {
    expect(freeHeight({ a: [0, 0], b: [0, 100], c: [0, 200] }, 50, 250)).toBeNull();
  });
});

describe("reachesOut", () => {
  const box = { x: -10, y: 0, width: 100, height: 50 };

  it.each([
    [[10, 0, 1], { width: 100, height: 50 }, false],
    [[5, 0, 1], { width: 200, height: 50 }, true],
    [[10, 0, 2], { width: 150, height: 200 }, true],
    [[20, -1, 1], { width: 200, height: 200 }, true],
  ] as const)("at %o in %o is %s", (view, space, out) => expect(reachesOut(box, view, space)).toBe(out));
});
