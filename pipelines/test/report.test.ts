/** The page of a real run, looked at by a real browser. The picture of it is kept in `artifacts/` beside the packages. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync } from "node:fs"
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { chromium } from "playwright-core"
import { hila, pipeline, temporaryStore } from "./command.ts"

const candidates = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
const executablePath = candidates.find((path) => existsSync(path))
const artifacts = fileURLToPath(new URL("../../artifacts/", import.meta.url))

/** Nothing may be asked of a network: the page has to be whole in itself. */
const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
]

const browser = Effect.acquireRelease(
  Effect.promise(() =>
    chromium.launch({ ...(executablePath === undefined ? {} : { executablePath }), args: flags }),
  ),
  (opened) => Effect.promise(() => opened.close()),
)

/** What a reader sees of a page: complaints, requests, and whether each picture and table has a size. */
const look = (path: string, scheme: "light" | "dark", screenshot: string) =>
  Effect.gen(function* () {
    const page = yield* Effect.flatMap(browser, (opened) =>
      Effect.promise(() => opened.newPage({ colorScheme: scheme, viewport: { width: 1200, height: 900 } })),
    )
    const complaints: Array<string> = []
    const requests: Array<string> = []
    page.on("console", (message) => complaints.push(message.text()))
    page.on("pageerror", (error) => complaints.push(error.message))
    page.on("request", (request) => requests.push(request.url()))
    return yield* Effect.promise(async () => {
      await page.goto(pathToFileURL(path).href)
      for (const summary of await page.locator("summary").all()) await summary.click()
      await mkdir(artifacts, { recursive: true })
      await page.screenshot({ path: join(artifacts, screenshot), fullPage: true })
      const sizes = await page.locator("figure svg, table").evaluateAll((found) =>
        found.map((element) => {
          const { height, width } = element.getBoundingClientRect()
          return Math.min(height, width)
        }),
      )
      const background = await page
        .locator("body")
        .evaluate((body) => body.computedStyleMap().get("background-color")?.toString() ?? "")
      return { complaints, requests, sizes, background, text: await page.locator("main").innerText() }
    })
  })

describe.skipIf(executablePath === undefined)("the page of a run (needs Chromium)", () => {
  it.live(
    "shows every figure, light and dark, without a complaint or a request",
    () =>
      Effect.gen(function* () {
        const store = yield* temporaryStore
        const small = ["golden=24", "questions=12", "density=0.2"].flatMap((option) => ["--set", option])
        const ran = yield* hila(["run", pipeline, "--store", store, ...small])
        assert.strictEqual(ran.error, "")
        const path = join(store, "report.html")
        yield* hila(["report", "last", "--html", "--output", path, "--store", store])
        const light = yield* look(path, "light", "report-light.png")
        const dark = yield* look(path, "dark", "report-dark.png")
        for (const seen of [light, dark]) {
          assert.deepStrictEqual(seen.complaints, [])
          assert.deepStrictEqual(seen.requests, [pathToFileURL(path).href])
          assert.isAbove(seen.sizes.length, 5)
          assert.isTrue(seen.sizes.every((size) => size > 0))
          for (const word of ["task arithmetic", "HILA", "importance math", "prune"])
            assert.include(seen.text, word)
        }
        assert.notStrictEqual(light.background, dark.background)
      }),
    180_000,
  )
})
