/**
 * Builds dist/: SWC compiles each TypeScript file, esbuild bundles, minifies and shakes the result.
 *
 * - The same sources give the same bytes: names carry no hash, nothing records a time or a path.
 * - A build that fails leaves the pages that are being served as they were.
 */
import { transform } from "@swc/core";
import { build, version } from "esbuild";
import { cp, mkdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(fileURLToPath(import.meta.url));
const dist = join(root, "dist");
// Beside the packages: on the same file system, and ignored by version control already.
const out = join(root, "node_modules", ".dist");
const before = join(root, "node_modules", ".dist-before");
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
  entryPoints: [
    { in: "src/main.tsx", out: "app" },
    { in: "src/theme-start.ts", out: "theme" },
    { in: "src/style/app.css", out: "app" },
  ],
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
await rm(before, { recursive: true, force: true });
await rename(dist, before).catch((error) => {
  if (error.code !== "ENOENT") throw error;
});
await rename(out, dist);
await rm(before, { recursive: true, force: true });
const size = (await stat(join(dist, "app.js"))).size;
console.log(`swc compiled ${compiled.length} files`);
console.log(`esbuild ${version} bundled app.js, ${size} bytes`);
