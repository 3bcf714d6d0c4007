/** Live Bokeh figures: a document drawn once, and the patches that follow it. */
import baseCss from "../base.css";
import { currentTheme, followTheme } from "../theme";
import { type Model, type RenderProps, complaint, element, frame, onMessage } from "../widget";
import { type Bokeh, type BokehDocument, type ViewManager, bokehOf } from "./bokeh";
import { type PatchLog, type Whole } from "./patches";
import plotCss from "./plot.css";
import { restyle } from "./restyle";

/** One place on the page where the figures of a log are drawn. */
export class PlotBoard {
  private doc: BokehDocument | null = null;
  private views: ViewManager | null = null;
  private version = -1;
  private drawing = false;
  private closed = false;
  private readonly stop: () => void;

  constructor(
    private readonly area: HTMLElement,
    private readonly log: PatchLog,
    private readonly load: () => Promise<Bokeh>,
  ) {
    this.stop = log.subscribe(() => void this.update());
  }

  /** Brings the picture up to the log: by patches if they lead there, else by drawing the whole document anew. */
  async update(): Promise<void> {
    if (this.drawing || this.closed) return;
    this.drawing = true;
    try {
      for (;;) {
        if (this.follow()) return;
        const whole = this.log.whole;
        if (!whole || whole.version <= this.version || this.closed) return;
        await this.draw(await this.load(), whole);
      }
    } catch (error) {
      this.area.replaceChildren(element("div", "wb-trouble", `The figures cannot be drawn: ${complaint(error)}`));
    } finally {
      this.drawing = false;
    }
  }

  recolor(): void {
    if (this.doc) restyle(this.doc, currentTheme());
  }

  close(): void {
    this.closed = true;
    this.stop();
    this.views?.clear();
    this.doc?.clear();
  }

  /** Applies the patches at hand; false when they do not lead on from what is shown. */
  private follow(): boolean {
    if (!this.doc) return false;
    const patches = this.log.since(this.version);
    if (patches === null) return false;
    for (const { version, patch, buffers } of patches) {
      this.doc.apply_json_patch(JSON.parse(patch), buffers);
      this.version = version;
    }
    return true;
  }

  private async draw(bokeh: Bokeh, whole: Whole): Promise<void> {
    const doc = bokeh.require("document").Document.from_json(JSON.parse(whole.json));
    const grid = element("div", "wb-grid");
    const places = doc.roots().map((_, i) => {
      const place = element("div", "wb-place");
      place.style.gridColumn = `span ${whole.spans[i] ?? 12}`;
      grid.append(place);
      return place;
    });
    restyle(doc, currentTheme());
    const old = { doc: this.doc, views: this.views };
    this.area.replaceChildren(grid);
    old.views?.clear();
    old.doc?.clear();
    this.views = await bokeh.embed.add_document_standalone(doc, grid, places);
    this.doc = doc;
    this.version = whole.version;
  }
}

function library(model: Model): () => Promise<Bokeh> {
  return () => {
    const packed = model.get("bokehjs");
    const view = packed instanceof DataView ? packed : new DataView(new ArrayBuffer(0));
    return bokehOf(String(model.get("bokeh_version")), view);
  };
}

export function mountPlot({ model, el }: RenderProps, log: PatchLog): () => void {
  const { root, release } = frame(el, `${baseCss}\n${plotCss}`, "wb-plot");
  const trouble = element("div", "wb-trouble");
  const area = element("div", "wb-area");
  root.append(trouble, area);
  const stopMessages = onMessage(model, (content) => {
    const message = content as { type?: unknown; text?: unknown } | null;
    if (message?.type === "trouble") trouble.textContent = String(message.text);
  });
  const board = new PlotBoard(area, log, library(model));
  void board.update();
  const stopTheme = followTheme(() => board.recolor());
  return () => {
    stopMessages();
    stopTheme();
    release();
    board.close();
  };
}
