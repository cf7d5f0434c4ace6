// Builds the page: one script and one style sheet, put into the template, which permits these two and nothing else.
//
//   node build.mjs            writes dist/page.html, which is checked in: Cargo needs no Node.js
//   node build.mjs --check    only says whether that is what the sources build
//   node build.mjs --tests    writes the tests as plain JavaScript into build/tests, and the scripts for pictures and figures into build
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync, mkdirSync } from "node:fs";
import { build } from "esbuild";

const here = new URL(".", import.meta.url).pathname;
const common = { bundle: true, format: "esm", charset: "ascii", target: "es2022", logLevel: "warning" };

if (process.argv.includes("--tests")) {
  const forNode = { ...common, outExtension: { ".js": ".mjs" }, platform: "node", packages: "external" };
  const entryPoints = readdirSync(here + "tests").filter(name => name.endsWith(".test.ts")).map(name => `${here}tests/${name}`);
  await build({ ...forNode, entryPoints, outdir: here + "build/tests" });
  await build({ ...forNode, entryPoints: ["pictures", "measure"].map(name => `${here}tests/${name}.ts`), outdir: here + "build" });
} else {
  const built = async (file, more) => {
    const out = await build({ ...common, ...more, entryPoints: [here + "src/" + file], write: false, minify: true, legalComments: "none" });
    return out.outputFiles[0].text.trim();
  };
  const script = await built("main.ts", { format: "iife" });
  const style = await built("page.css", {});
  const permit = text => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  // Functions, because "$&" in a replacement string would mean something.
  const page = readFileSync(here + "src/page.html", "utf8")
    .replace("{{permitted}}", () => `style-src ${permit(style)}; script-src ${permit(script)}`)
    .replace("{{style}}", () => style)
    .replace("{{script}}", () => script);
  const file = here + "dist/page.html";
  if (!process.argv.includes("--check")) {
    mkdirSync(here + "dist", { recursive: true });
    writeFileSync(file, page);
  } else if (readFileSync(file, "utf8") !== page) {
    console.error("labtest/page/dist/page.html is not what its sources build: run `make page`");
    process.exit(1);
  }
}
