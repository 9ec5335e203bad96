/**
 * The page of a run: one self-contained HTML file without scripts, readable without a network.
 *
 * What was asked for comes first (the outputs), then what it was made of, how the run went, the figures of the stages on
 * the way, and the provenance of every result.
 */
import type { Figure } from "@hila/core"
import { duration } from "../Tables.ts"
import type { Data, Step } from "./Data.ts"
import * as Flow from "./Flow.ts"
import { details, escape, table } from "./Markup.ts"
import * as Picture from "./Picture.ts"
import { style } from "./Style.ts"

const heading = (text: string) => `<h2>${escape(text)}</h2>`
const short = (digest: string) => digest.slice(0, 12)

const figure = (each: Figure): string => {
  const body = each._tag === "Table" ? table(each.head, each.rows) : Picture.html(each.svg)
  const note = each.note === undefined ? "" : `<p class="note">${escape(each.note)}</p>`
  return `<figure><figcaption>${escape(each.title)}</figcaption>\n${body}\n${note}</figure>`
}

const results = ({ outputs }: Data): string =>
  outputs
    .map(({ figures, name, text }) => {
      const body = figures.length === 0 ? `<pre>${escape(text)}</pre>` : figures.map(figure).join("\n")
      return `<h3>${escape(name)}</h3>\n${body}`
    })
    .join("\n")

const made = ({ inputs, steps }: Data): string => {
  const models = steps.filter(({ action }) => action.kind === "directory")
  const head = ["what", "kind", "sha256"]
  const given = table(
    head,
    inputs.map(({ artifact, digest, title }) => [title, artifact, short(digest)]),
  )
  if (models.length === 0) return given
  const rows = models.map(({ action, title }) => [title, action.ingredients.output, short(action.digest)])
  return `${given}\n${details(`${models.length} models made on the way`, table(head, rows))}`
}

const parameters = ({ action }: Step): string =>
  Object.entries(action.ingredients.params)
    .map(([name, value]) => `${name} ${abridged(typeof value === "string" ? value : JSON.stringify(value))}`)
    .join(", ")

/** A long grid or list says little in a table; `hila explain` and the record have it whole. */
const abridged = (text: string): string => (text.length <= 60 ? text : `${text.slice(0, 57)}…`)

const stages = (steps: ReadonlyArray<Step>): string =>
  table(
    ["stage", "", "took", "result", "parameters", "sha256"],
    steps.map((step) => [
      step.title,
      step.hit ? "kept" : "ran",
      duration(step.action.seconds),
      step.action.summary,
      parameters(step),
      short(step.action.digest),
    ]),
  )

const onTheWay = ({ figures }: Data): string =>
  figures.map(({ figures: found, title }) => details(title, found.map(figure).join("\n"))).join("\n")

const command = ({ run }: Data): string => {
  const set = Object.entries(run.set).map(([name, value]) => ` --set ${name}=${value}`)
  return `hila run ${run.file ?? run.pipeline}${set.join("")}`
}

const provenance = (data: Data, versions: Readonly<Record<string, string>>): string => {
  const { missing, run } = data
  const rows = [
    ["run", run.run],
    ["again", command(data)],
    ...Object.entries(versions),
    ...(missing.length === 0 ? [] : [["no longer in the store", missing.join(", ")]]),
  ]
  return table(["", ""], rows)
}

/** The whole page. `versions` of what made it, by name. */
export const html = (data: Data, versions: Readonly<Record<string, string>>): string => {
  const { figures, run, steps } = data
  const set = Object.entries(run.set).map(([name, value]) => `${name} = ${value}`)
  const facts = [
    `${run.outcome}${run.seconds === undefined ? "" : ` after ${duration(run.seconds)}`}`,
    `${steps.length} stages, ${run.hits} kept, ${run.runs} ran`,
    ...set,
  ]
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(run.pipeline)} · ${escape(run.run)}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escape(run.pipeline)}</h1>
<p>${escape(facts.join(" · "))}</p>
${heading("Results")}
${results(data)}
${heading("What it was made of")}
${made(data)}
${heading("The run")}
<figure>${Flow.svg(steps)}</figure>
${details(`All ${steps.length} stages`, stages(steps))}
${figures.length === 0 ? "" : `${heading("On the way")}\n${onTheWay(data)}`}
${heading("Provenance")}
${provenance(data, versions)}
</main>
</body>
</html>
`
}
