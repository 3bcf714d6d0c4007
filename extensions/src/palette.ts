/** The one palette of the project, as CSS variables: `--wb-STATE` for task states and `--wb-p-NAME` for the rest. */
import palette from "../../workbench/ui/palette.json";

type Shades = (typeof palette)["light"];

function variables(shades: Shades): string {
  const states = Object.entries(shades.states).map(([state, color]) => `--wb-${state}: ${color};`);
  const rest = (["surface", "panel", "ink", "muted", "border", "accent", "danger"] as const).map(
    (name) => `--wb-p-${name}: ${shades[name]};`,
  );
  return [...states, ...rest].join(" ");
}

export function paletteCss(): string {
  return `.wb-root { ${variables(palette.light)} }\n.wb-root[data-theme="dark"] { ${variables(palette.dark)} }`;
}
