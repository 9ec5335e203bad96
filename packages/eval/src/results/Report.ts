/**
 * Results as a table: for a terminal, in Markdown, or as comma-separated values.
 */
import { entryOr } from "@hila/core/Lookup"
import * as Template from "../tasks/Template.ts"
import * as Table from "../Table.ts"
import type { Results } from "./Results.ts"

/** Columns that only some runs have: items found in texts, and what the model was trained on. */
const marks = (results: Results) => {
  const found = Object.values(results.contamination ?? {})[0]
  return [
    ...(found === undefined
      ? []
      : [
          {
            title: `overlap ≥ ${found.threshold}`,
            of: (name: string) => {
              const own = results.contamination?.[name]
              return own === undefined ? "" : `${(100 * own.share).toFixed(1)} %`
            },
          },
        ]),
    ...(results.trained_on === undefined
      ? []
      : [
          {
            title: "model",
            of: (name: string) => {
              const sets = results.trained_on?.[name] ?? []
              return sets.length === 0 ? "" : `trained on ${sets.join(", ")}`
            },
          },
        ]),
  ]
}

/** The forms a report can take. */
export const formats = ["table", "markdown", "csv"] as const
export type Format = (typeof formats)[number]

const head = ["task", "version", "filter", "n-shot", "n", "metric", "", "value", "±"]

const number = (value: unknown): string => {
  if (typeof value !== "number") return String(value)
  if (!Number.isFinite(value)) return "–"
  return Math.abs(value) >= 1e5 ? value.toExponential(4) : value.toFixed(4)
}

const rows = (results: Results): ReadonlyArray<ReadonlyArray<string>> =>
  Object.entries(results.results).flatMap(([name, entry]) =>
    Object.keys(entry)
      .filter((key) => key.includes(",") && !key.includes("_stderr,"))
      .map((key) => {
        const [metric = "", filter = ""] = key.split(",")
        const higher = results.higher_is_better[name]?.[metric]
        return [
          Template.text(entry["alias"] ?? name),
          Template.text(entryOr(results.versions, name, "")),
          filter,
          String(entryOr(results["n-shot"], name, "")),
          Template.text(entry["sample_len"] ?? ""),
          metric,
          higher === undefined ? "" : higher ? "↑" : "↓",
          number(entry[key]),
          number(entry[`${metric}_stderr,${filter}`]),
          ...marks(results).map(({ of }) => of(name)),
        ]
      }),
  )

/** A list of lines as comma-separated values; cells with commas, quotes or line breaks are quoted. */
export const csv = (lines: ReadonlyArray<ReadonlyArray<string>>): string =>
  lines
    .map((line) =>
      line.map((cell) => (/[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(","),
    )
    .join("\n")

/** A list of lines as a Markdown table. */
export const markdown = (
  titles: ReadonlyArray<string>,
  lines: ReadonlyArray<ReadonlyArray<string>>,
): string =>
  [titles, titles.map((_, i) => (i === 0 ? "---" : "---:")), ...lines]
    .map((line) => `| ${line.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`)
    .join("\n")

/** Lines under titles, in one of the forms. */
export const lines = (
  titles: ReadonlyArray<string>,
  body: ReadonlyArray<ReadonlyArray<string>>,
  format: Format,
): string => {
  if (format === "csv") return csv([titles, ...body])
  return format === "markdown" ? markdown(titles, body) : Table.render([titles], body)
}

/** The scores of all tasks and groups. */
export const render = (results: Results, format: Format = "table"): string =>
  lines([...head, ...marks(results).map(({ title }) => title)], rows(results), format)
