/**
 * The provenance card: a README.md with the front matter the Hub expects, from which the merge can be repeated.
 */
import { stringify } from "yaml"
import type * as Report from "../preflight/Report.ts"
import * as Text from "../preflight/Report.ts"

/** A model that went into the merge. */
export interface Input {
  readonly role: string
  readonly model: string
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

/** Whether a reference can be one of the Hub's: `owner/name`. */
const isHub = (model: string): boolean => /^[\w-][\w.-]*\/[\w.-]+(?:@[\w.-]+)?$/.test(model)

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
  const models = [...new Set(inputs.map(({ model }) => model).filter(isHub))]
  const matter = {
    ...(models.length === 0
      ? {}
      : { base_model: models.map((model) => model.split("@")[0]), base_model_relation: "merge" }),
    library_name: "transformers",
    tags: ["merge", "hila"],
    ...(trainedOn.length === 0 ? {} : { trainedOn }),
    hila: {
      versions,
      profile,
      seed,
      inputs: inputs.map(({ digests, model, role }) => ({ role, model, sha256: digests })),
    },
  }
  const methods = Object.entries(report.methods).map(([method, count]) => `${method} (${count} tensors)`)
  return (
    [
      `---\n${stringify(matter, { lineWidth: 0 })}---`,
      `# ${name}`,
      `A merge of ${inputs.filter(({ role }) => role !== "base").length} models by ${methods.join(", ")}: ${Text.countText(report.parameters)} parameters in ${report.dtypes}, made with Hila ${versions["hila"] ?? ""}.`,
      "## Inputs",
      ["| role | model | file | sha256 |", "| --- | --- | --- | --- |", ...inputs.flatMap(rowsOf)].join("\n"),
      "## Recipe",
      `Seed ${seed}, profile ${profile}.`,
      `\`\`\`yaml\n${recipe.trimEnd()}\n\`\`\``,
      ...(report.notes.length === 0 ? [] : ["## Notes", report.notes.map((note) => `- ${note}`).join("\n")]),
    ].join("\n\n") + "\n"
  )
}

const rowsOf = ({ digests, model, role }: Input): ReadonlyArray<string> => {
  const files = Object.entries(digests)
  return files.length === 0
    ? [`| ${role} | ${model} | | not computed |`]
    : files.map(([file, digest]) => `| ${role} | ${model} | ${file} | \`${digest}\` |`)
}
