import { describe, expect, it } from "vitest";
import { PatchLog, parsePatch, parseWhole } from "../src/plot/patches";
import { lookOf } from "../src/plot/restyle";
import { FakeModel } from "./helpers";

function patch(version: number): unknown {
  return { type: "patch", version, patch: `{"events": [${version}]}`, ids: [] };
}

function whole(version: number): unknown {
  return { version, json: "{}", spans: [12] };
}

function listening(version = 0): { model: FakeModel; log: PatchLog } {
  const model = new FakeModel({ document: whole(version) });
  const log = new PatchLog();
  log.listen(model);
  return { model, log };
}

const versions = (log: PatchLog, since: number) => log.since(since)?.map((p) => p.version) ?? null;

describe("PatchLog", () => {
  it("keeps patches for views that open later", () => {
    const { model, log } = listening();
    model.message(patch(1));
    model.message(patch(2));
    expect(versions(log, 0)).toEqual([1, 2]);
    expect(versions(log, 1)).toEqual([2]);
    expect(versions(log, 2)).toEqual([]);
    expect(model.sent).toEqual([]);
  });

  it("stops at a gap, asks once, and goes on from the whole document that comes", () => {
    const { model, log } = listening();
    model.message(patch(1));
    model.message(patch(3));
    model.message(patch(4));
    expect(versions(log, 0)).toEqual([1]);
    expect(model.sent).toEqual([{ type: "whole" }]);
    model.message(patch(5));
    expect(model.sent).toHaveLength(1);
    model.push("document", whole(4));
    expect(versions(log, 1)).toBeNull();
    expect(versions(log, 4)).toEqual([5]);
  });

  it("does not draw anew what patches already brought", () => {
    const { model, log } = listening();
    model.message(patch(1));
    model.push("document", whole(1));
    expect(versions(log, 1)).toEqual([]);
  });

  it("passes over an old document and a repeated patch", () => {
    const { model, log } = listening(5);
    model.push("document", whole(3));
    expect(log.whole?.version).toBe(5);
    model.message(patch(5));
    expect(versions(log, 5)).toEqual([]);
  });

  it("tells its views, and stops hearing when it is closed", () => {
    const { model, log } = listening();
    let told = 0;
    log.subscribe(() => (told += 1));
    model.message(patch(1));
    expect(told).toBe(1);
    log.close();
    expect(model.listeners).toBe(0);
  });
});

describe("parsing", () => {
  it("copies buffers out of the message, under their ids", () => {
    const bytes = new Uint8Array([0, 0, 7, 8, 9]);
    const found = parsePatch({ ...(patch(1) as object), ids: ["x"] }, [new DataView(bytes.buffer, 2, 3)]);
    expect(new Uint8Array(found!.buffers.get("x")!)).toEqual(new Uint8Array([7, 8, 9]));
  });

  it("knows other messages and malformed ones", () => {
    expect(parsePatch({ type: "trouble", text: "" }, [])).toBeNull();
    expect(parsePatch({ type: "patch", version: 1, patch: {}, ids: [] }, [])).toBeNull();
    expect(parseWhole(0)).toBeNull();
    expect(parseWhole({ version: 1 })).toBeNull();
  });
});

describe("lookOf", () => {
  it("finds the properties of a theme in a model's tags, as Bokeh's maps or as objects", () => {
    const dark = new Map<string, unknown>([
      ["line_color", "#ffffff"],
      ["fill_color", new Map([["field", "fill_dark"]])],
    ]);
    const tags = ["other", new Map([["dark", dark]])];
    expect(lookOf(tags, "dark")).toEqual({ line_color: "#ffffff", fill_color: { field: "fill_dark" } });
    expect(lookOf([{ light: { line_color: null } }], "light")).toEqual({ line_color: null });
    expect(lookOf(tags, "light")).toBeNull();
    expect(lookOf(undefined, "light")).toBeNull();
  });
});
