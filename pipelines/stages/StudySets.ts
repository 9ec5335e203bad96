/**
 * Golden data of an importance study: two draws of a family's prompts, and prompts that no specialist was trained on.
 *
 * The draws have no prompt in common, so what two of them agree on is no artefact of shared examples.
 */
import { type Node, PipelineError, Source, Stage } from "@hila/core"
import { HeldOut, MicroRules, Stages as Evaluation } from "@hila/eval"
import { Checkpoint, Question, type Runtime } from "@hila/model"
import { Golden, Prompts, Stages as Scoring } from "@hila/scoring"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const micro = fileURLToPath(new URL("../../fixtures/micro", import.meta.url))

type Model = Node.Node<Checkpoint.Checkpoint, unknown>
type Answers = Node.Node<Golden.Golden, unknown, Runtime, Runtime>

/** A specialist with its own answers. */
export interface Specialist {
  readonly domain: string
  readonly expert: Model
  /** Two draws with no prompt in common. */
  readonly draws: readonly [Answers, Answers]
  /** Answers to what the specialist was not trained on. */
  readonly heldOut: Answers
}

/** Beginnings of documents as prompts. */
const beginnings = Stage.make({
  name: "beginnings",
  version: 1,
  inputs: { material: HeldOut.artifact },
  params: { domain: Schema.String, characters: Schema.Int, take: Schema.Int },
  output: Question.artifact,
  run: ({ material: { documents } }, { characters, domain, take }) =>
    Effect.succeed(
      documents.slice(0, take).map((text) => ({ domain, prompt: text.slice(0, characters), answer: "" })),
    ),
})

/** Questions by rule, answered with a line each. */
const byRule = (
  domain: (typeof MicroRules.domains)[number],
  expert: Model,
  take: number,
  seed: number,
): Specialist => {
  const golden = (name: string, side: "train" | "heldOut", skip: number, count: number) => {
    const label = `${domain} ${name}`
    const questions = Evaluation.questions({}, { domain, side, seed, skip, take: count }, label)
    return Scoring.golden({ teacher: expert, questions }, { maxTokens: 32, stop: ["\n"] }, label)
  }
  return {
    domain,
    expert,
    draws: [golden("first", "train", 0, take), golden("second", "train", take, take)],
    heldOut: golden("held out", "heldOut", 0, 2 * take),
  }
}

/** Prompts to continue, drawn token by token: the likeliest text of a small model repeats itself, and seldom ends. */
const byPrompts = (family: string, domain: string, expert: Model, take: number, seed: number): Specialist => {
  const name = `${domain}.jsonl`
  const file = Source.file(join(family, "prompts", name), Prompts.file)
  const asked = Scoring.prompts({ file }, { name, domain }, domain)
  const golden = (
    part: string,
    questions: Node.Node<ReadonlyArray<Question.Question>, unknown>,
    offset: number,
  ) =>
    Scoring.golden(
      { teacher: expert, questions },
      { maxTokens: 48, requireEnd: false, temperature: 1, seed: seed + offset },
      `${domain} ${part}`,
    )
  const draw = (part: "first" | "second", offset: number) =>
    golden(
      part,
      Scoring.split(
        { questions: [asked] },
        { sizes: { first: take, second: take }, part, seed },
        `${domain} ${part}`,
      ),
      offset,
    )
  const material = Evaluation.heldOutFile(join(family, "eval", `${domain}.json`))
  return {
    domain,
    expert,
    draws: [draw("first", 0), draw("second", 1)],
    heldOut: golden(
      "held out",
      beginnings({ material }, { domain, characters: 120, take: 2 * take }, domain),
      2,
    ),
  }
}

/** The base and specialists of a family: a directory of models, of texts where it has prompts; micro where it is empty. */
export const of = (
  family: string,
  { seed, take }: { readonly take: number; readonly seed: number },
): { readonly base: Model; readonly specialists: ReadonlyArray<Specialist> } => {
  const directory = family === "" ? micro : family
  const model = (name: string) => Checkpoint.source(join(directory, name))
  const base = model("base")
  if (!existsSync(join(directory, "prompts"))) {
    return {
      base,
      specialists: MicroRules.domains.map((domain) => byRule(domain, model(domain), take, seed)),
    }
  }
  const domains = readdirSync(directory)
    .filter((name) => name !== "base" && existsSync(join(directory, name, "config.json")))
    .toSorted()
  if (domains.length === 0) {
    throw new PipelineError({
      pipeline: "importance-study",
      problem: `${directory} has no models beside base`,
    })
  }
  return {
    base,
    specialists: domains.map((domain) => byPrompts(directory, domain, model(domain), take, seed)),
  }
}
