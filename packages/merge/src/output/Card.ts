/**
 * The provenance card: a README.md with the front matter the Hub expects, from which the merge can be repeated.
 */
import { entry } from "@hila/core/Lookup"
import { stringify } from "yaml"
import type * as Report from "../plan/Report.ts"
import * as Text from "../plan/Report.ts"

/** A model that went into the merge. */
export interface Input {
  readonly role: string
  readonly model: string
  /** What the Hub calls it, where it was taken from there. */
  readonly repo: string | undefined
  /** Whether `model` is the path of a directory, which is no name outside of this machine. */
  readonly isDirectory: boolean
  /** sha256 of its weight files by name; none where they were not asked for. */
  readonly digests: Readonly<Record<string, string>>
}

/** What a card tells. */
export interface Facts {
  readonly name: string
  readonly recipe: string
  readonly seed: number
  readonly profile: string
  readonly versions: Readonly<Record<string, string>>
  readonly inputs: ReadonlyArray<Input>
  /** Data sets that the inputs were trained on. */
  readonly trainedOn: ReadonlyArray<string>
  readonly report: Report.Report
}

/** The card's text. */
export const render = ({
  inputs,
  name,
  profile,
  recipe,
  report,
  seed,
  trainedOn,
  versions,
}: Facts): string => {
  const repos = [...new Set(inputs.flatMap(({ repo }) => repo ?? []))]
  const matter = {
    ...(repos.length === 0 ? {} : { base_model: repos, base_model_relation: "merge" }),
    library_name: "transformers",
    tags: ["merge", "hila"],
    ...(trainedOn.length === 0 ? {} : { trainedOn }),
    hila: {
      versions,
      profile,
      seed,
      inputs: inputs.map(({ digests, isDirectory, model, role }) => ({
        role,
        [isDirectory ? "directory" : "model"]: model,
        sha256: digests,
      })),
    },
  }
  const methods = Object.entries(report.methods).map(([method, count]) => `${method} (${count} tensors)`)
  return (
    [
      `---\n${stringify(matter, { lineWidth: 0 })}---`,
      `# ${name}`,
      `A merge of ${inputs.filter(({ role }) => role !== "base").length} models by ${methods.join(", ")}: ${Text.countText(report.parameters)} parameters in ${report.dtypes}, made with Hila ${entry(versions, "hila")}.`,
      "## Inputs",
      ["| role | model | file | sha256 |", "| --- | --- | --- | --- |", ...inputs.flatMap(rowsOf)].join("\n"),
      "## Recipe",
      `Seed ${seed}, profile ${profile}.`,
      `\`\`\`yaml\n${recipe.trimEnd()}\n\`\`\``,
      ...(report.notes.length === 0 ? [] : ["## Notes", report.notes.map((note) => `- ${note}`).join("\n")]),
    ].join("\n\n") + "\n"
  )
}

const rowsOf = ({ digests, isDirectory, model: text, role }: Input): ReadonlyArray<string> => {
  const files = Object.entries(digests)
  const model = isDirectory ? `directory \`${text}\`` : text
  return files.length === 0
    ? [`| ${role} | ${model} | | not computed |`]
    : files.map(([file, digest]) => `| ${role} | ${model} | ${file} | \`${digest}\` |`)
}
