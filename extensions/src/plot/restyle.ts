/** Figures follow the theme of the page: Bokeh draws on a canvas, so colours are set on its models, not by CSS. */
import { type BokehDocument, type BokehModel } from "./bokeh";

export interface Colors {
  readonly text: string;
  readonly soft: string;
  readonly line: string;
  readonly background: string;
}

/** The colours that the page gives to an element of ours. */
export function colorsOf(element: HTMLElement): Colors {
  const style = getComputedStyle(element);
  const read = (name: string): string => resolve(element, style.getPropertyValue(name).trim());
  return { text: read("--wb-text"), soft: read("--wb-soft"), line: read("--wb-line"), background: read("--wb-bg") };
}

/** A colour that a canvas understands: the browser resolves `var()` and names to rgb. */
function resolve(element: HTMLElement, color: string): string {
  const probe = document.createElement("span");
  probe.style.color = color;
  element.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found || color;
}

function changesFor(model: BokehModel, c: Colors): Record<string, unknown> | null {
  const kind = model.type;
  if (kind === "Figure" || kind === "Plot" || kind === "GridPlot") {
    return { background_fill_color: null, border_fill_color: null, outline_line_color: c.line };
  }
  if (kind.endsWith("Axis")) {
    return {
      axis_label_text_color: c.soft,
      major_label_text_color: c.soft,
      axis_line_color: c.line,
      major_tick_line_color: c.line,
      minor_tick_line_color: null,
    };
  }
  if (kind === "Grid") return { grid_line_color: c.line, grid_line_alpha: 0.55 };
  if (kind === "Title") return { text_color: c.text };
  if (kind === "Legend") {
    return {
      label_text_color: c.text,
      title_text_color: c.soft,
      background_fill_color: c.background,
      background_fill_alpha: 0.8,
      border_line_color: null,
    };
  }
  return null;
}

/** Sets the colours of everything that is not data. Models tagged `data-color` keep theirs. */
export function restyle(doc: BokehDocument, colors: Colors): void {
  for (const model of doc.all_models) {
    const tags = model["tags"];
    if (Array.isArray(tags) && tags.includes("data-color")) continue;
    const changes = changesFor(model, colors);
    if (changes && model.setv) model.setv(changes);
  }
}
