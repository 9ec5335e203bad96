import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync, rmSync } from "node:fs"
import * as Picture from "../src/report/Picture.ts"
import { good, workbench } from "./workbench.ts"

/** The toy pipeline with an artifact that has figures, and a text that would be markup if it were not escaped. */
const drawn = good
  .replace(
    'Artifact.json("numbers", Schema.Array(Schema.Finite), {',
    `Artifact.json("numbers", Schema.Array(Schema.Finite), {
  figures: (all) => [
    { _tag: "Table", title: "Numbers <b>", head: ["at", "value"], rows: all.map((x, at) => [String(at), String(x)]) },
    { _tag: "Picture", title: "A circle", svg: '<svg viewBox="0 0 2 2"><circle r="1"/></svg>', note: "round" },
  ],`,
  )
  .replace('{ by: density }, "two")', '{ by: density }, "two & more")')

describe("hila report", () => {
  it.live("tells what a run made, as text and as a page with the figures of its artifacts", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      bench.write("drawn.ts", drawn)
      yield* bench.hila("run", "drawn.ts", "--set", "density=4")
      yield* bench.hila("run", "drawn.ts", "--set", "density=4", "--set", "pause=1")
      const { out } = yield* bench.hila("report")
      assert.match(out, /^toy \S+: finished, 1 kept, 1 ran\ndoubled: 8\n/)
      assert.match(out, / {2}double two & more {2}kept .*\n {2}list two & more {4}ran /)

      const written = yield* bench.hila("report", "last", "--html")
      assert.strictEqual(written.out, "toy-report.html\n")
      const page = readFileSync(bench.path("toy-report.html"), "utf8")
      assert.include(page, "<figcaption>Numbers &lt;b&gt;</figcaption>")
      assert.include(page, '<tr><td class="figure">5</td><td class="figure">48</td></tr>')
      assert.include(page, '<svg viewBox="0 0 2 2"><circle r="1"/></svg>')
      assert.include(page, "double two &amp; more")
      assert.include(page, "hila run drawn.ts --set density=4 --set pause=1")
      assert.notMatch(page, /<script|https?:\/\/(?!www\.w3\.org)/)
    }),
  )

  it.live("says in one line what it cannot report", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      const none = yield* bench.hila("report")
      assert.deepStrictEqual([none.code, none.err], [2, 'hila: there is no run "last": no run yet\n'])
      yield* bench.hila("run", "toy.ts")
      rmSync(bench.path(".hila/actions"), { recursive: true })
      const gone = yield* bench.hila("report")
      assert.strictEqual(gone.code, 2)
      assert.match(
        gone.err,
        /^hila: run \S+ has no result that is still in the store: run the pipeline again/,
      )
    }),
  )

  it.live(
    "tells what the run told, whatever has become of the pipeline; --pipeline draws it as it is now",
    () =>
      Effect.gen(function* () {
        const bench = yield* workbench
        bench.write("drawn.ts", drawn)
        yield* bench.hila("run", "drawn.ts")
        const page = Effect.map(bench.hila("report", "--html", "--output", "page.html"), () =>
          readFileSync(bench.path("page.html"), "utf8"),
        )
        const [text, html] = [(yield* bench.hila("report")).out, yield* page]

        const changed = drawn.replaceAll("version: 1", "version: 2").replace("A circle", "A disc")
        bench.write("drawn.ts", changed.replaceAll("density", "breadth"))
        assert.strictEqual((yield* bench.hila("report")).out, text)
        rmSync(bench.path("drawn.ts"))
        assert.strictEqual((yield* bench.hila("report")).out, text)
        assert.strictEqual(yield* page, html)
        assert.include(html, "A circle")

        bench.write("now.ts", changed)
        yield* bench.hila("report", "--html", "--output", "now.html", "--pipeline", "now.ts")
        assert.include(readFileSync(bench.path("now.html"), "utf8"), "A disc")
      }),
  )

  it("lets drawings onto a page, and nothing that runs or asks a network", () => {
    const svg = (inside: string) =>
      `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 2">${inside}</svg>\n`
    for (const drawing of [
      svg('<g><text x="1" fill="#808080">a &lt; b</text></g>'),
      svg(
        '<rect x="1" fill="rgb(1,2,3)"><title>g0: 1</title></rect><path d="M0 0 C1 1 2 2 3 3" class="edge"/>',
      ),
    ])
      assert.strictEqual(Picture.html(drawing), drawing)
    for (const other of [
      svg("<script>alert(1)</script>"),
      svg('<rect onload="alert(1)"/>'),
      svg("<rect onload=alert(1) />"),
      svg('<a href="https://example.org"><text>x</text></a>'),
      svg('<rect fill="url(https://example.org/x)"/>'),
      svg('<image href="https://example.org/x.png"/>'),
      svg("<foreignObject><p>x</p></foreignObject>"),
      svg('<text>x</text><img src="x"'),
      "<p>no picture</p>",
    ])
      assert.match(Picture.html(other), /^<p class="note">/)
  })
})
