/**
 * Builds dist/: SWC compiles each TypeScript file, esbuild bundles, minifies and shakes the result.
 *
 * The same sources give the same bytes: names carry no hash, nothing records a time or a path.
 */
import { transform } from "@swc/core";
import { build, version } from "esbuild";
import { cp, mkdir, readFile, rm, stat } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(fileURLToPath(import.meta.url));
const out = join(root, "dist");
const compiled = [];

const swc = {
  name: "swc",
  setup(bundler) {
    bundler.onLoad({ filter: /\.tsx?$/ }, async ({ path }) => {
      const source = await readFile(path, "utf8");
      const { code } = await transform(source, options(relative(root, path), path.endsWith("x")));
      compiled.push(relative(root, path));
      return { contents: code, loader: "js" };
    });
  },
};

function options(filename, tsx) {
  return {
    filename,
    configFile: false,
    swcrc: false,
    sourceMaps: false,
    module: { type: "es6" },
    jsc: {
      target: "es2022",
      parser: { syntax: "typescript", tsx },
      transform: { react: { runtime: "automatic", importSource: "preact" } },
    },
  };
}

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
await cp(join(root, "static"), out, { recursive: true });
await build({
  absWorkingDir: root,
  entryPoints: { app: "src/main.tsx", theme: "src/theme-start.ts", "app.css": "src/style/app.css" },
  entryNames: "[name]",
  outdir: out,
  bundle: true,
  minify: true,
  treeShaking: true,
  format: "iife",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  plugins: [swc],
  logLevel: "warning",
});
const size = (await stat(join(out, "app.js"))).size;
console.log(`swc compiled ${compiled.length} files`);
console.log(`esbuild ${version} bundled app.js, ${size} bytes`);
