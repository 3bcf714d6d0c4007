/** Live Bokeh figures: a document drawn once, and the patches that follow it. */
import baseCss from "../base.css";
import { type Theme, currentTheme, followTheme } from "../theme";
import { type Model, type RenderProps, complaint, element, frame, onMessage } from "../widget";
import { type Bokeh, type BokehDocument, type ViewManager, bokehOf } from "./bokeh";
import { type Patch, type PatchLog, type Whole } from "./patches";
import plotCss from "./plot.css";
import { restyle } from "./restyle";

/** When everything that has begun on this page so far has run, down to its last microtask. */
const settled = (): Promise<void> => new Promise((done) => setTimeout(done, 0));

/**
 * One place on the page where the figures of a log are drawn.
 *
 * A document is changed by one thing at a time. BokehJS takes data into a glyph in several microtasks, and a change that
 * begins between two of them lets it read the colours of three labels where there is one ("Offset is outside the bounds
 * of the DataView"); that glyph then stays as it was. Messages that waited for each other do come a microtask apart, and
 * so does a change of theme, so nothing is applied before what was applied last has settled.
 */
export class PlotBoard {
  private bokeh: Bokeh | null = null;
  private doc: BokehDocument | null = null;
  private views: ViewManager | null = null;
  /** Patches still to be applied, and the version to which they lead. */
  private patches: Patch[] = [];
  private version = -1;
  private theme: Theme = currentTheme();
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

  /** Brings the picture up to the log and the theme: by patches if they lead there, else by drawing all of it anew. */
  async update(): Promise<void> {
    this.take();
    if (this.drawing) return;
    this.drawing = true;
    try {
      while (!this.closed) {
        if (!this.follow()) {
          const whole = this.newer();
          if (!whole) break; // nothing is awaited between finding nothing and ending, so nothing is missed
          await this.draw(await this.load(), whole);
        }
        await settled();
      }
    } catch (error) {
      // What is half drawn helps nobody; the next whole document that Python sends is tried again.
      this.clear();
      this.version = this.log.whole?.version ?? -1;
      this.area.replaceChildren(element("div", "wb-trouble", `The figures cannot be drawn: ${complaint(error)}`));
    } finally {
      this.drawing = false;
      if (this.closed) this.clear();
    }
  }

  close(): void {
    this.closed = true;
    this.stop();
    if (!this.drawing) this.clear();
  }

  /** Notes the patches that lead on, at once: the log forgets them when a whole document comes. */
  private take(): void {
    if (!this.doc) return;
    const more = this.log.since(this.version) ?? [];
    this.patches.push(...more);
    this.version += more.length;
  }

  /** Applies the next change to what is shown; false when there is none that leads on from it. */
  private follow(): boolean {
    if (!this.doc) return false;
    if (this.theme !== currentTheme()) {
      this.theme = currentTheme();
      restyle(this.doc, this.theme);
      return true;
    }
    const next = this.patches.shift();
    if (next) this.doc.apply_json_patch(JSON.parse(next.patch), next.buffers);
    return next !== undefined;
  }

  /** The last whole document, if it is newer than what is shown. */
  private newer(): Whole | null {
    const { whole } = this.log;
    return whole && whole.version > this.version ? whole : null;
  }

  private async draw(bokeh: Bokeh, whole: Whole): Promise<void> {
    if (this.closed) return;
    const doc = bokeh.require("document").Document.from_json(JSON.parse(whole.json));
    const grid = element("div", "wb-grid");
    const places = doc.roots().map((_, i) => {
      const place = element("div", "wb-place");
      place.style.gridColumn = `span ${whole.spans[i] ?? 12}`;
      grid.append(place);
      return place;
    });
    this.theme = currentTheme();
    restyle(doc, this.theme);
    const height = this.area.offsetHeight;
    this.clear();
    // What is below keeps its place while the new figures find their size.
    this.area.style.minHeight = height ? `${height}px` : "";
    this.area.replaceChildren(grid);
    this.bokeh = bokeh;
    this.doc = doc;
    this.version = whole.version;
    this.take();
    this.views = await bokeh.embed.add_document_standalone(doc, grid, places);
    this.area.style.minHeight = "";
  }

  private clear(): void {
    this.views?.clear();
    this.doc?.clear();
    // BokehJS keeps a list of all documents of the page, also of those that nobody shows any more.
    const at = this.doc ? (this.bokeh?.documents.indexOf(this.doc) ?? -1) : -1;
    if (at >= 0) this.bokeh?.documents.splice(at, 1);
    this.views = this.doc = null;
    this.patches = [];
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
  const stopTheme = followTheme(() => void board.update());
  return () => {
    stopMessages();
    stopTheme();
    release();
    board.close();
  };
}
