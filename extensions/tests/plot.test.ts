import { afterEach, describe, expect, it, vi } from "vitest";
import type { Bokeh, BokehDocument } from "../src/plot/bokeh";
import { PatchLog } from "../src/plot/patches";
import { PlotBoard } from "../src/plot/plot";
import { FakeModel } from "./helpers";

/** Documents that take a patch in over several microtasks, as BokehJS does, and note when two overlap. */
class FakeBokeh {
  readonly told: string[] = [];
  readonly documents: BokehDocument[] = [];
  broken = "";
  private busy = 0;

  readonly library = {
    version: "0",
    documents: this.documents,
    require: () => ({ Document: { from_json: (json: { name: string }) => this.document(json.name) } }),
    embed: {
      add_document_standalone: async () => {
        await null;
        return { clear: () => this.told.push("views cleared") };
      },
    },
  } as unknown as Bokeh;

  private document(name: string): BokehDocument {
    this.told.push(`drawn ${name}`);
    const made: BokehDocument = {
      roots: () => [{ type: "Figure" }],
      all_models: [{ type: "Figure", setv: () => void this.work("painted") }],
      apply_json_patch: (patch) => {
        const said = (patch as { name: string }).name;
        if (said === this.broken) throw new Error("no such model");
        void this.work(`patched ${said}`);
      },
      clear: () => this.told.push("document cleared"),
    };
    this.documents.push(made);
    return made;
  }

  private async work(what: string): Promise<void> {
    this.told.push(this.busy ? `${what} BEFORE ANOTHER WAS DONE` : what);
    this.busy += 1;
    for (let i = 0; i < 20; i += 1) await null;
    this.busy -= 1;
  }
}

const whole = (version: number) => ({ version, json: `{"name": "${version}"}`, spans: [12] });
const patch = (version: number) => ({ type: "patch", version, patch: `{"name": "${version}"}`, ids: [] });
const soon = (check: () => void) => vi.waitFor(check, { timeout: 10_000 });

function board(model = new FakeModel({ document: whole(0) })) {
  const log = new PatchLog();
  log.listen(model);
  const bokeh = new FakeBokeh();
  const area = document.createElement("div");
  const made = new PlotBoard(area, log, () => Promise.resolve(bokeh.library));
  return { model, log, bokeh, area, board: made };
}

describe("PlotBoard", () => {
  afterEach(() => {
    delete document.body.dataset.jpThemeLight;
  });

  it("lets a patch settle before the next one, however close they come", async () => {
    const { model, bokeh, board: shown } = board();
    await shown.update();
    bokeh.told.length = 0;
    for (let version = 1; version <= 5; version += 1) {
      model.message(patch(version));
      await null;
    }
    await soon(() => expect(bokeh.told).toEqual([1, 2, 3, 4, 5].map((version) => `patched ${version}`)));
  });

  it("draws nothing of a change of theme between the steps of a patch", async () => {
    const { model, bokeh, board: shown } = board();
    await shown.update();
    bokeh.told.length = 0;
    model.message(patch(1));
    await null;
    document.body.dataset.jpThemeLight = "false";
    void shown.update();
    await soon(() => expect(bokeh.told).toEqual(["patched 1", "painted"]));
  });

  it("goes on by patches when a whole document that contains them comes before they are applied", async () => {
    const { model, bokeh, board: shown } = board();
    await shown.update();
    bokeh.told.length = 0;
    for (const version of [1, 2, 3]) model.message(patch(version));
    model.push("document", whole(3));
    model.message(patch(4));
    await soon(() => expect(bokeh.told).toEqual([1, 2, 3, 4].map((version) => `patched ${version}`)));
    expect(bokeh.documents).toHaveLength(1);
  });

  it("catches up with what came while it was drawing", async () => {
    const { model, bokeh, board: shown } = board();
    const first = shown.update();
    model.message(patch(1));
    model.message(patch(2));
    await first;
    expect(bokeh.told.filter((said) => said !== "painted")).toEqual(["drawn 0", "patched 1", "patched 2"]);
  });

  it("says what went wrong and draws the next whole document", async () => {
    const { model, bokeh, area, board: shown } = board();
    await shown.update();
    bokeh.broken = "1";
    model.message(patch(1));
    await soon(() => expect(area.textContent).toBe("The figures cannot be drawn: no such model"));
    model.message(patch(2));
    model.push("document", whole(2));
    await soon(() => expect(area.querySelectorAll(".wb-grid")).toHaveLength(1));
    expect(area.textContent).toBe("");
    expect(bokeh.told.filter((said) => /drawn|patched/.test(said))).toEqual(["drawn 0", "drawn 2"]);
  });

  it("takes its document off the page when it is closed, also while it draws", async () => {
    const { bokeh, board: shown } = board();
    const drawing = shown.update();
    shown.close();
    await drawing;
    expect(bokeh.told.filter((said) => said.startsWith("drawn"))).toEqual([]);
    const again = board();
    await again.board.update();
    again.board.close();
    expect(again.bokeh.told.slice(-2)).toEqual(["views cleared", "document cleared"]);
    expect(again.bokeh.documents).toEqual([]);
  });
});
