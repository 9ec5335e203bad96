/**
 * Preparing documents for the built-in tasks: columns of a data set, in the layouts it is published in, as the columns
 * that the task's templates read.
 */
import * as Effect from "effect/Effect"
import * as PythonText from "../../metrics/PythonText.ts"
import type { TaskError } from "../../EvalError.ts"
import * as Micro from "../../Micro.ts"
import type { Domain } from "../../MicroRules.ts"
import * as Template from "../Template.ts"
import * as WikiText from "./WikiText.ts"
import type { Row } from "../Template.ts"

type Process = (rows: ReadonlyArray<Row>) => ReadonlyArray<Row>

const text = (row: Row, key: string): string => {
  const value = row[key]
  return value === undefined || value === null ? "" : Template.text(value)
}

const record = (value: unknown): Row =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Row) : {}

const list = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])

const each =
  (change: (row: Row) => Row): Process =>
  (rows) =>
    rows.map(change)

const letters = ["A", "B", "C", "D", "E"]

/** MedQA: the Hub's sent1, ending0…3 and label; elsewhere question, options by letter and answer_idx. */
const medqa = each((row) => {
  if ("ending0" in row) return row
  const options = record(row["options"])
  const endings = letters.slice(0, 4).map((letter, i) => [`ending${i}`, options[letter]])
  return {
    sent1: row["question"],
    ...Object.fromEntries(endings),
    label: letters.indexOf(text(row, "answer_idx")),
  }
})

/** MMLU: choices as a list; elsewhere in the columns choice0…3. */
const mmlu = each((row) =>
  "choices" in row
    ? row
    : { ...row, choices: [0, 1, 2, 3].map((i) => text(row, `choice${i}`)), question: text(row, "question") },
)

/** PubMedQA: the labelled abstracts, or of them the test half where a second file names it by id and answer. */
const pubmedqa: Process = (rows) => {
  const test = new Set(rows.flatMap((row) => ("value" in row ? [row["id"]] : [])))
  return rows
    .filter((row) => !("value" in row) && (test.size === 0 || test.has(row["id"])))
    .map((row) => ({
      ...row,
      CONTEXTS: row["CONTEXTS"] ?? record(row["context"])["contexts"],
      QUESTION: row["QUESTION"] ?? row["question"],
    }))
}

/** HellaSwag's cleaning: headings in brackets become sentence ends, other brackets go, double spaces shrink. */
const clean = (dirty: string): string =>
  PythonText.strip(dirty)
    .replaceAll(" [title]", ". ")
    .replaceAll(/\[.*?\]/g, "")
    .replaceAll("  ", " ")

const capitalize = (word: string): string => {
  const [first = "", ...rest] = word
  return first.toUpperCase() + rest.join("").toLowerCase()
}

const hellaswag = each((row) => ({
  ...row,
  query: clean(`${text(row, "activity_label")}: ${text(row, "ctx_a")} ${capitalize(text(row, "ctx_b"))}`),
  choices: list(row["endings"]).map((ending) => clean(String(ending))),
  gold: Number(row["label"]),
}))

/** ARC and its translations: texts and labels of the choices. Elsewhere ready choices with the index of the gold. */
const arc = each((row) => {
  if ("gold" in row) return { ...row, question: text(row, "query").replace(/^Question: /, "") }
  if ("option_a" in row) {
    const options = letters.map((letter) => row[`option_${letter.toLowerCase()}`])
    return {
      question: clean(text(row, "instruction")),
      choices: options.filter((option) => typeof option === "string" && option !== ""),
      gold: letters.indexOf(text(row, "answer")),
    }
  }
  const { label, text: texts } = record(row["choices"])
  return { ...row, choices: texts, gold: list(label).indexOf(row["answerKey"]) }
})

/** TruthfulQA: choices with a 1 for each right one; the Hub's lists, or elsewhere an object from text to 0 or 1. */
const truthfulqa = each((row) => {
  const targets = (key: string) => {
    const value = record(row[key])
    return "labels" in value
      ? { choices: list(value["choices"]), labels: list(value["labels"]) }
      : { choices: Object.keys(value), labels: Object.values(value) }
  }
  const several = targets("mc2_targets")
  return {
    ...row,
    mc1: targets("mc1_targets"),
    mc2: { ...several, right: several.labels.flatMap((label, i) => (label === 1 ? [i] : [])) },
  }
})

/** The share of probability on right choices, where several are right; called `acc`, as in the harness. */
const shareOfRight = (
  row: Row,
  responses: ReadonlyArray<{ readonly logLikelihood: number }>,
): Readonly<Record<string, number>> => {
  const top = Math.max(...responses.map(({ logLikelihood }) => logLikelihood))
  const right = new Set(list(record(row["mc2"])["right"]))
  const powers = responses.map(({ logLikelihood }) => Math.exp(logLikelihood - top))
  const sum = (values: ReadonlyArray<number>) => values.reduce((a, b) => a + b, 0)
  return { acc: sum(powers.filter((_, i) => right.has(i))) / sum(powers) }
}

export const results = { "hila.truthfulqa_mc2": shareOfRight }

/** WinoGrande: the sentence cut at the blank, with either name in it, and what follows. */
const winogrande = each((row) => {
  if ("context_options" in row) {
    return { contexts: row["context_options"], rest: row["continuation"], gold: row["gold"] }
  }
  const [before = "", after = ""] = text(row, "sentence").split("_")
  return {
    contexts: [before + text(row, "option1"), before + text(row, "option2")],
    rest: PythonText.strip(after),
    gold: Number(row["answer"]) - 1,
  }
})

/** PIQA, OpenBookQA and BoolQ: the Hub's columns; elsewhere ready queries with choices and gold. */
const piqa = each((row) =>
  "gold" in row
    ? {
        goal: PythonText.strip(text(row, "query").replace(/^Question: /, "")),
        choices: row["choices"],
        gold: row["gold"],
      }
    : { goal: row["goal"], choices: [row["sol1"], row["sol2"]], gold: row["label"] },
)
const openbookqa = each((row) => {
  if ("gold" in row) return { stem: row["query"], choices: row["choices"], gold: row["gold"] }
  const { label, text: texts } = record(row["choices"])
  return { stem: row["question_stem"], choices: texts, gold: list(label).indexOf(row["answerKey"]) }
})
const boolq = each((row) => {
  if (!("gold" in row)) return row
  const [, passage = "", question = ""] =
    /^Passage: ([\s\S]*)\nQuestion: ([\s\S]*)$/.exec(text(row, "query")) ?? []
  const right = PythonText.strip(String(list(row["choices"])[Number(row["gold"])]))
  return { passage, question: question.replace(/\?$/, ""), label: Number(right === "yes") }
})

/** LAMBADA: a text whose last word is asked for; elsewhere already cut. */
const lambada = each((row) =>
  "continuation" in row ? { text: `${text(row, "context")} ${text(row, "continuation")}` } : row,
)

/** TAT-QA: one document per question that has a single answer, with its table as lines and its paragraphs. */
const tatqa: Process = (rows) =>
  rows.flatMap((row) => {
    const lines = list(record(row["table"])["table"]).map((cells) => list(cells).join(" | "))
    const paragraphs = list(row["paragraphs"]).map((paragraph) => text(record(paragraph), "text"))
    return list(row["questions"]).flatMap((entry) => {
      const question = record(entry)
      if (question["answer_type"] === "multi-span") return []
      const answer = question["answer"]
      const scale = text(question, "scale")
      return [
        {
          table: lines.join("\n"),
          paragraphs: paragraphs.join("\n"),
          question: question["question"],
          answer: String(Array.isArray(answer) ? answer[0] : answer),
          scale,
        },
      ]
    })
  })

/** Classes of AG News by name; the index column counts from 1 in the csv, from 0 on the Hub. */
const agNews = each((row) =>
  "class" in row
    ? { text: `${text(row, "title")} ${text(row, "description")}`, label: Number(row["class"]) - 1 }
    : row,
)

const medicalAbstracts = each((row) => ({
  abstract: row["medical_abstract"],
  label: Number(row["condition_label"]) - 1,
}))

/** Names of DBpedia's classes as words: "RacingDriver" is a racing driver. */
const dbpediaClasses = each((row) => ({
  text: text(row, "text"),
  label: text(row, "l2" in row ? "l2" : "label")
    .replaceAll(/(?<=[a-z])(?=[A-Z])/g, " ")
    .toLowerCase(),
}))

/** XCOPA's choices follow a connector, so they begin in lower case. */
const lowerFirst = (value: unknown): string => {
  const [first = "", ...rest] = String(value)
  return first.toLowerCase() + rest.join("")
}

export const processes: Readonly<Record<string, Process>> = {
  "hila.ag_news": agNews,
  "hila.arc": arc,
  "hila.boolq": boolq,
  "hila.dbpedia_classes": dbpediaClasses,
  "hila.hellaswag": hellaswag,
  "hila.lambada": lambada,
  "hila.medical_abstracts": medicalAbstracts,
  "hila.medqa": medqa,
  "hila.mmlu": mmlu,
  "hila.openbookqa": openbookqa,
  "hila.piqa": piqa,
  "hila.pubmedqa": pubmedqa,
  "hila.tatqa": tatqa,
  "hila.truthfulqa": truthfulqa,
  "hila.wikitext": WikiText.pages,
  "hila.winogrande": winogrande,
}

export const fields: Readonly<Record<string, (row: Row) => unknown>> = {
  "hila.wikitext_text": WikiText.text,
  "hila.xcopa_choices": (row) => [lowerFirst(row["choice1"]), lowerFirst(row["choice2"])],
}

/** Held-out questions of the micro family, 200 of each domain. */
const micro = (domain: Domain) => () => Micro.questions({ domain, side: "heldOut", seed: 1, take: 200 })

export const datasets: Readonly<Record<string, () => Effect.Effect<ReadonlyArray<Row>, TaskError>>> = {
  "hila.micro_math": micro("math"),
  "hila.micro_code": micro("code"),
  "hila.micro_lang": micro("lang"),
}
