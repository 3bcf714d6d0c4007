/**
 * Figures follow the theme of the page without asking Python, which may be busy: every model whose look depends on the
 * theme carries a tag that says what its properties are in either (`workbench/ui/plots.py`, `themed`), and Bokeh draws
 * on a canvas, so style sheets do not reach it.
 */
import { type Theme } from "../theme";
import { type BokehDocument } from "./bokeh";

type Fields = Record<string, unknown>;

/** A mapping as Bokeh hands it over: a Map, or a plain object. */
function fields(value: unknown): Fields | null {
  if (value instanceof Map) return Object.fromEntries(value) as Fields;
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : null;
}

/** What a model's tags say of a theme; null when they say nothing. */
export function lookOf(tags: unknown, theme: Theme): Fields | null {
  for (const tag of Array.isArray(tags) ? tags : []) {
    const look = fields(fields(tag)?.[theme]);
    if (look) return Object.fromEntries(Object.entries(look).map(([name, value]) => [name, fields(value) ?? value]));
  }
  return null;
}

/** Gives all models the properties of a theme. Figures let the page shine through. */
export function restyle(doc: BokehDocument, theme: Theme): void {
  for (const model of doc.all_models) {
    const look = lookOf(model["tags"], theme);
    const clear = model.type === "Figure" ? { background_fill_color: null, border_fill_color: null } : null;
    if (look || clear) model.setv?.({ ...look, ...clear });
  }
}
