/**
 * Families: a base, its specialists, and what each is asked, so that a pipeline takes any of them by one option.
 *
 * A family is a directory with a model in each subdirectory, one of them `base`. With `prompts/<domain>.jsonl` beside the
 * models it is a family of texts: specialists continue prompts, `eval/<domain>.json` has held-out material, and
 * `eval/general.json` neutral text. Without, it is the micro family, whose questions are made by rule. Models of the Hub
 * and any other place come by name, as do prompts of the Hub's data sets.
 */
import { type Node, Pipeline, PipelineError, Stage } from "@hila/core"
import { HeldOut, MicroRules, Stages as Evaluation } from "@hila/eval"
import { CausalModel, Checkpoint, Hub, HubFile, type Question, Runtime } from "@hila/model"
import { Prompts, Stages as Scoring } from "@hila/scoring"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { existsSync, readdirSync } from "node:fs"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Golden, Model } from "./Tuned.ts"

const micro = fileURLToPath(new URL("../../fixtures/micro", import.meta.url))

/** The golden sets: what importance is measured on, what numbers are chosen on, and what nothing is chosen on. */
export type Part = "score" | "tune" | "report"

/** What is asked of a model at the end. */
export interface Asked {
  readonly domain: string
  /** Questions with a known answer; of texts none. */
  readonly questions?: Node.Node<ReadonlyArray<Question.Question>>
  /** Documents and choices; of questions none. */
  readonly material?: Node.Node<HeldOut.HeldOut>
}

export interface Family {
  readonly domains: ReadonlyArray<string>
  readonly base: Model
  /** In the order of the domains. */
  readonly experts: ReadonlyArray<Model>
  /**
   * Each specialist's own answers, as a set with no prompt in common with the others; in the order of the domains. `drawn`
   * from the specialist's distribution, not the likeliest: then its expected gradient on them is 0. Texts always are.
   */
  readonly golden: (part: Part, drawn?: boolean) => ReadonlyArray<Golden>
  readonly asked: ReadonlyArray<Asked>
  /** Text that is nobody's speciality. */
  readonly neutral: Node.Node<HeldOut.HeldOut, unknown, Runtime, Runtime>
}

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** The options of a pipeline that takes a family. */
export const options = {
  family: Pipeline.option(
    Schema.String,
    "",
    "directory of a family; the one that comes with Hila unless given",
  ),
  base: Pipeline.option(Schema.String, "", "in place of family: the base, a path or a name on the Hub"),
  experts: Pipeline.option(
    Schema.Record(Schema.String, Schema.String),
    {},
    'with base: specialists by domain, experts={"med":"…"}',
  ),
  prompts: Pipeline.option(
    Schema.Union([Schema.String, Schema.Record(Schema.String, Schema.String)]),
    "",
    'with base: directory with <domain>.jsonl, or files by domain, prompts={"med":"hf://datasets/org/name@revision/path"}',
  ),
  column: Pipeline.option(
    Schema.String,
    "prompt",
    'where prompts are in those files: a column, or a text with columns in it, "Q: {{question}}"',
  ),
  golden: Pipeline.option(Count, 64, "golden prompts per domain to score on, and to tune on"),
  budget: Pipeline.option(Count, 40, "trials of each method"),
  seed: Pipeline.option(Schema.Int, 0, "seed of prompts and answers"),
}

type Options = {
  readonly [K in Exclude<keyof typeof options, "budget">]: (typeof options)[K]["default"]
}

const parts = ["score", "tune", "report"] as const
const sizesOf = (golden: number) => ({ score: golden, tune: golden, report: 2 * golden })

const refuse = (problem: string): never => {
  throw new PipelineError({ pipeline: "family", problem })
}

const modelsIn = (directory: string): ReadonlyArray<string> =>
  existsSync(directory)
    ? readdirSync(directory)
        .filter((name) => name !== "base" && existsSync(join(directory, name, "config.json")))
        .toSorted()
    : refuse(`there is no directory ${directory}`)

/** The models and prompts that the options name. */
const places = ({ base, experts, family, prompts }: Options) => {
  if (base !== "") {
    const named = Object.entries(experts)
    if (named.length === 0 || prompts === "") {
      return refuse(
        'with base, give experts (experts={"med":"…"}) and prompts (a directory with <domain>.jsonl, or files by domain)',
      )
    }
    return { base, experts: named, prompts, evaluation: "" }
  }
  const directory = family === "" ? micro : family
  const names = modelsIn(directory)
  if (names.length === 0) return refuse(`${directory} has no models beside base`)
  const own = join(directory, "prompts")
  return {
    base: join(directory, "base"),
    experts: names.map((name) => [name, join(directory, name)] as const),
    prompts: existsSync(own) ? own : "",
    evaluation: join(directory, "eval"),
  }
}

/** The file with a domain's prompts: given by itself, or in a directory, here or on the Hub. */
const fileOf = (prompts: Options["prompts"], domain: string): string => {
  if (typeof prompts !== "string") {
    const has = Object.keys(prompts).join(", ") || "none"
    return (
      prompts[domain] ??
      refuse(`there are prompts of ${has}, and an expert of ${domain}; give prompts of each`)
    )
  }
  const name = `${domain}.jsonl`
  return HubFile.isName(prompts) ? `${prompts.replace(/\/+$/, "")}/${name}` : join(prompts, name)
}

const model = (place: string): Model => (existsSync(place) ? Checkpoint.source(place) : Hub.source(place))

/** An answer of the micro family ends with its line. */
export const answers = { maxTokens: 32, stop: ["\n"] } as const

/** Documents a model writes by itself, token by token from its own distribution. */
const written = Stage.make({
  name: "neutral",
  version: 2,
  inputs: { model: Checkpoint.artifact },
  params: { start: Schema.String, texts: Schema.Int, maxTokens: Schema.Int, seed: Schema.Int },
  output: HeldOut.artifact,
  environment: [Runtime],
  run: Effect.fnUntraced(function* ({ model: checkpoint }, { maxTokens, seed, start, texts }) {
    const opened = yield* CausalModel.open(checkpoint)
    // One prompt and one seed give one text, so that each has a seed of its own.
    const said = yield* Effect.forEach(
      [...Array(texts).keys()],
      (i) => opened.generate([start], { maxTokens, temperature: 1, seed: seed * texts + i }),
      { concurrency: 2 },
    )
    return { documents: [...new Set(said.flat().map(({ prompt, response }) => prompt + response))] }
  }, Effect.scoped),
})

/** The micro family: questions by rule. */
const byRule = (options: Options, models: Pick<Family, "base" | "experts" | "domains">): Family => {
  const { golden: count, seed } = options
  const domains = models.domains.map(
    (name) =>
      MicroRules.domains.find((domain) => domain === name) ?? refuse(`no rule makes questions of ${name}`),
  )
  const questions = (
    domain: (typeof domains)[number],
    side: "train" | "heldOut",
    skip: number,
    take: number,
  ) => Evaluation.questions({}, { domain, side, seed, skip, take }, `${domain} ${side}`)
  return {
    ...models,
    golden: (part, drawn = false) =>
      domains.map((domain, i) => {
        // What nothing is chosen on, no model has seen either.
        const asked =
          part === "report"
            ? questions(domain, "heldOut", 0, 2 * count)
            : questions(domain, "train", part === "score" ? 0 : count, count)
        return Scoring.golden(
          { teacher: models.experts[i] ?? models.base, questions: asked },
          drawn ? { ...answers, temperature: 1, seed } : answers,
          `${domain} ${part}${drawn ? " drawn" : ""}`,
        )
      }),
    asked: domains.map((domain) => ({ domain, questions: questions(domain, "heldOut", 0, 200) })),
    neutral: written({ model: models.base }, { start: "Q:", texts: 32, maxTokens: 96, seed }, "base"),
  }
}

/** A family of texts: prompts to continue; answers seldom end, and are drawn, since the likeliest text repeats itself. */
const byPrompts = (
  { column, golden: count, seed }: Options,
  models: Pick<Family, "base" | "experts" | "domains">,
  prompts: Options["prompts"],
  evaluation: string,
): Family => {
  const asked = models.domains.map((domain) => {
    const place = fileOf(prompts, domain)
    const read = { name: basename(place), domain, ...(column === "prompt" ? {} : { prompt: column }) }
    return Scoring.prompts({ file: Prompts.source(place) }, read, domain)
  })
  const material = (domain: string) => join(evaluation, `${domain}.json`)
  return {
    ...models,
    golden: (part) =>
      models.experts.map((teacher, i) => {
        const label = `${models.domains[i]} ${part}`
        const questions = Scoring.split(
          { questions: asked.slice(i, i + 1) },
          { sizes: sizesOf(count), part, seed },
          label,
        )
        const drawn = { maxTokens: 48, requireEnd: false, temperature: 1, seed: seed + parts.indexOf(part) }
        return Scoring.golden({ teacher, questions }, drawn, label)
      }),
    asked: models.domains.flatMap((domain) =>
      existsSync(material(domain)) ? [{ domain, material: Evaluation.heldOutFile(material(domain)) }] : [],
    ),
    neutral: existsSync(material("general"))
      ? Evaluation.heldOutFile(material("general"))
      : written({ model: models.base }, { start: "", texts: 32, maxTokens: 96, seed }, "base"),
  }
}

/** The family that options name. */
export const of = (options: Options): Family => {
  const { base, evaluation, experts, prompts } = places(options)
  const models = {
    domains: experts.map(([domain]) => domain),
    base: model(base),
    experts: experts.map(([, place]) => model(place)),
  }
  return prompts === "" ? byRule(options, models) : byPrompts(options, models, prompts, evaluation)
}
