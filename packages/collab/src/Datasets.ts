/**
 * Reads the classification sets people have: AG News, medical abstracts, DBpedia classes, IMDB.
 *
 * A set is known by the files of its directory. A set of one file is split by the index of the row: every fourth is
 * for testing, so figures are not comparable with published ones where those train on more.
 */
import type { Artifact } from "@hila/core"
import { atOr } from "@hila/core/Lookup"
import { cells } from "@hila/eval/tasks/Csv"
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import { CollabError } from "./CollabError.ts"
import type { Row, Texts } from "./LabelledText.ts"

type Files = Readonly<Record<string, string>>
type Lines = ReadonlyArray<ReadonlyArray<string>>

/** One data set: the file it is known by, and how its rows are read. */
interface Format {
  readonly file: string
  readonly read: (
    file: (name: string) => Effect.Effect<Lines, CollabError>,
    files: Files,
  ) => Effect.Effect<Texts, CollabError>
}

const everyFourth = (rows: ReadonlyArray<Row>) => ({
  test: rows.filter((_, i) => i % 4 === 0),
  train: rows.filter((_, i) => i % 4 !== 0),
})

/** Line breaks as the files write them, and entities that lost their ampersand. */
const plain = (text: string): string => text.replaceAll(/\\[nt]?|\s+/g, " ").trim()

/** Names that columns of texts and of classes go by. */
const columns = { text: ["text", "review"], label: ["label", "sentiment"] }

/** Texts and the names of their classes, by the columns' names in the first line. */
const pairs = Effect.fnUntraced(function* (name: string, [head = [], ...lines]: Lines) {
  const place = (names: ReadonlyArray<string>) => head.findIndex((cell) => names.includes(cell.trim()))
  const [text, label] = [place(columns.text), place(columns.label)]
  if (text < 0 || label < 0) {
    const problem = `${name}: expected a first line with the columns ${columns.text.join(" or ")} and ${columns.label.join(" or ")}, got ${head.slice(0, 8).join(", ").slice(0, 200)}`
    return yield* new CollabError({ subject: "data", problem })
  }
  const short = lines.findIndex((cells) => atOr(cells, label, "") === "")
  if (short >= 0) {
    return yield* new CollabError({ subject: "data", problem: `${name}: row ${short + 1} has no class` })
  }
  return lines.map((cells) => ({ text: atOr(cells, text, ""), label: atOr(cells, label, "") }))
})

type Pairs = Effect.Success<ReturnType<typeof pairs>>

/** Line breaks that were left in texts from web pages. */
const withoutBreaks = (text: string): string => text.replaceAll(/<br\s*\/?>/g, " ")

const named = (
  given: Pairs,
): { readonly classes: ReadonlyArray<string>; readonly rows: ReadonlyArray<Row> } => {
  const classes = [...new Set(given.map(({ label }) => label))].toSorted((a, b) => (a < b ? -1 : 1))
  return {
    classes,
    rows: given.map(({ label, text }) => ({
      text: plain(withoutBreaks(text)),
      label: classes.indexOf(label),
    })),
  }
}

/** A set of its own two files. */
const twoFiles = (name: string): Format => ({
  file: `${name}_train.csv`,
  read: Effect.fnUntraced(function* (file) {
    const [train, test] = yield* Effect.forEach([`${name}_train.csv`, `${name}_test.csv`], (path) =>
      Effect.flatMap(file(path), (lines) => pairs(path, lines)),
    )
    const { classes, rows } = named([...(train ?? []), ...(test ?? [])])
    const count = train?.length ?? 0
    return { classes, train: rows.slice(0, count), test: rows.slice(count) }
  }),
})

const numbered = (lines: Lines): ReadonlyArray<Row> =>
  lines.map(([label, ...text]) => ({ text: plain(text.join(" ")), label: Number(label) - 1 }))

const formats: ReadonlyArray<Format> = [
  {
    // Class index from 1, title, description; without train.csv, every fourth row is for testing.
    file: "ag_news_test.csv",
    read: Effect.fnUntraced(function* (file, files) {
      const classes = ["World", "Sports", "Business", "Sci/Tech"]
      const test = numbered(yield* file("ag_news_test.csv"))
      return files["ag_news_train.csv"] === undefined
        ? { classes, ...everyFourth(test) }
        : { classes, test, train: numbered(yield* file("ag_news_train.csv")) }
    }),
  },
  {
    file: "medical_tc_test.csv",
    read: Effect.fnUntraced(function* (file) {
      const labels = (yield* file("medical_tc_labels.csv")).slice(1)
      const rows = numbered((yield* file("medical_tc_test.csv")).slice(1))
      return { classes: labels.map(([, name = ""]) => name), ...everyFourth(rows) }
    }),
  },
  twoFiles("dbpedia"),
  twoFiles("imdb"),
  {
    // The file of 50,000 reviews that people pass on, which knows no parts.
    file: "IMDB Dataset.csv",
    read: Effect.fnUntraced(function* (file) {
      const { classes, rows } = named(yield* pairs("IMDB Dataset.csv", yield* file("IMDB Dataset.csv")))
      return { classes, ...everyFourth(rows) }
    }),
  },
]

/** The texts of a directory whose files make a set that is known. */
export const read = Effect.fnUntraced(function* ({
  files,
}: Artifact.DirectoryHandle): Effect.fn.Return<Texts, CollabError> {
  const format = formats.find(({ file }) => files[file] !== undefined)
  if (format === undefined) {
    return yield* new CollabError({
      subject: "data",
      problem: `expected a directory with one of ${formats.map(({ file }) => file).join(", ")}, got ${Object.keys(files).slice(0, 8).join(", ") || "no files"}`,
    })
  }
  const linesOf = (name: string) =>
    Effect.map(
      Effect.tryPromise({
        try: () => readFile(files[name] ?? name, "utf8"),
        catch: () =>
          new CollabError({ subject: "data", problem: `${name} is missing beside ${format.file}` }),
      }),
      (text) => cells(text),
    )
  const texts = yield* format.read(linesOf, files)
  const wrong = [...texts.train, ...texts.test].findIndex(
    ({ label }) => !Number.isInteger(label) || label < 0 || label >= texts.classes.length,
  )
  if (wrong >= 0) {
    return yield* new CollabError({
      subject: "data",
      problem: `${format.file}: row ${wrong + 1} has no class of 1…${texts.classes.length}`,
    })
  }
  return texts
})
