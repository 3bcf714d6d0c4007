// Bundles each entry into one self-contained ES module under workbench/ui/static, with its CSS inside.
//
// Beside the bundles it writes `build.json`, whose digest over the sources tells hatch_build.py whether they are still
// current, and `LICENSES.txt` with the licences of the packages that went in.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const palette = join(here, "..", "workbench", "ui", "palette.json");
const target = process.env.WORKBENCH_STATIC ?? join(here, "..", "workbench", "ui", "static");

/** Files under a folder, sorted by their path with forward slashes. */
function walk(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => (entry.isDirectory() ? walk(join(folder, entry.name)) : [join(folder, entry.name)]))
    .sort();
}

/** The same digest as `sources_digest` in hatch_build.py. */
function digest() {
  const files = [...walk(join(here, "src")), palette, join(here, "build.mjs"), join(here, "package-lock.json")];
  const names = files.map((file) => relative(here, file).split(sep).join("/")).sort();
  const hash = createHash("sha256");
  for (const name of names) {
    hash.update(`${name}\n`);
    hash.update(readFileSync(join(here, name)));
  }
  return hash.digest("hex");
}

/** Licence texts of the bundled packages, found from the paths that esbuild read. */
function licences(inputs) {
  const packages = new Set();
  for (const input of inputs) {
    const match = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input.split(sep).join("/"));
    if (match) packages.add(match[1]);
  }
  const parts = [...packages].sort().map((name) => {
    const folder = join(here, "node_modules", name);
    const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file && statSync(join(folder, file)).isFile() ? readFileSync(join(folder, file), "utf8").trim() : "";
    return `${name} ${version} (${license})\n${"-".repeat(70)}\n${text}\n`;
  });
  return `The browser bundles in this folder contain the packages below.\n\n${parts.join("\n\n")}`;
}

// Built beside the folder and moved over it, so that nobody finds it half empty.
const fresh = `${target}.new`;
rmSync(fresh, { recursive: true, force: true });
mkdirSync(fresh, { recursive: true });
const result = await build({
  absWorkingDir: here,
  entryPoints: { dag: "src/entry_dag.ts", header: "src/entry_header.ts", plot: "src/entry_plot.ts" },
  outdir: fresh,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2020",
  charset: "utf8",
  jsx: "automatic",
  legalComments: "none",
  loader: { ".css": "text" },
  define: { "process.env.NODE_ENV": '"production"' },
  metafile: true,
  logLevel: "warning",
});
writeFileSync(join(fresh, "LICENSES.txt"), licences(Object.keys(result.metafile.inputs)));
writeFileSync(join(fresh, "build.json"), `${JSON.stringify({ sources: digest() })}\n`);
rmSync(target, { recursive: true, force: true });
renameSync(fresh, target);
for (const [file, { bytes }] of Object.entries(result.metafile.outputs)) {
  console.log(`${file.split(sep).pop()}  ${(bytes / 1000).toFixed(0)} kB`);
}
