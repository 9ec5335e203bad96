import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as Datasets from "../src/Datasets.ts"
import * as LabelledText from "../src/LabelledText.ts"
import * as Synthetic from "../src/Synthetic.ts"
import * as WordPiece from "../src/training/WordPiece.ts"
import * as View from "../src/View.ts"
import { temporary } from "./support/family.ts"

const directory = Effect.fnUntraced(function* (files: Readonly<Record<string, string>>) {
  const path = yield* temporary
  yield* Effect.promise(async () => {
    await mkdir(path, { recursive: true })
    for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text)
  })
  return { files: Object.fromEntries(Object.keys(files).map((name) => [name, join(path, name)])) }
})

describe("texts", () => {
  it.effect("AG News in one file is split by the row: every fourth is for testing", () =>
    Effect.gen(function* () {
      const rows = Array.from(
        { length: 8 },
        (_, i) => `"${(i % 4) + 1}","Title ${i}","He said ""no""\\nagain"`,
      )
      const texts = yield* Datasets.read(yield* directory({ "ag_news_test.csv": rows.join("\n") }))
      assert.deepStrictEqual(
        texts.test.map(({ text }) => text),
        ['Title 0 He said "no" again', 'Title 4 He said "no" again'],
      )
      assert.strictEqual(texts.train.length, 6)
      assert.deepStrictEqual(texts.classes, ["World", "Sports", "Business", "Sci/Tech"])
    }).pipe(Effect.scoped),
  )

  it.effect("DBpedia has its own two files, and classes by name", () =>
    Effect.gen(function* () {
      const texts = yield* Datasets.read(
        yield* directory({
          "dbpedia_train.csv": 'text,label\n"a, b",Company\nc,Artist\n',
          "dbpedia_test.csv": "text,label\nd,Company\n",
        }),
      )
      assert.deepStrictEqual(texts, {
        classes: ["Artist", "Company"],
        train: [
          { text: "a, b", label: 1 },
          { text: "c", label: 0 },
        ],
        test: [{ text: "d", label: 1 }],
      })
    }).pipe(Effect.scoped),
  )

  it.effect("medical abstracts take their classes from the file of labels; what is no set is refused", () =>
    Effect.gen(function* () {
      const texts = yield* Datasets.read(
        yield* directory({
          "medical_tc_test.csv": "condition_label,medical_abstract\n2,x\n1,y\n",
          "medical_tc_labels.csv": "condition_label,condition_name\n1,neoplasms\n2,other\n",
        }),
      )
      assert.deepStrictEqual(texts.test, [{ text: "x", label: 1 }])
      const none = yield* Effect.flip(Datasets.read(yield* directory({ "a.txt": "" })))
      assert.match(none.message, /expected a directory with one of ag_news_test\.csv/)
      const wrong = yield* Effect.flip(
        Datasets.read(yield* directory({ "ag_news_test.csv": '"9","a","b"\n' })),
      )
      assert.match(wrong.message, /row 1 has no class of 1…4/)
    }).pipe(Effect.scoped),
  )

  it.effect("IMDB comes in two files or in one, its columns in any order", () =>
    Effect.gen(function* () {
      const two = yield* Datasets.read(
        yield* directory({
          "imdb_train.csv": 'label,text\n1,"Good.<br /><br />Very, very good."\n0,Bad\n',
          "imdb_test.csv": "text,label\nDull,0\n",
        }),
      )
      assert.deepStrictEqual(two, {
        classes: ["0", "1"],
        train: [
          { text: "Good. Very, very good.", label: 1 },
          { text: "Bad", label: 0 },
        ],
        test: [{ text: "Dull", label: 0 }],
      })
      const reviews = ["positive", "negative", "positive", "negative", "negative"]
      const one = yield* Datasets.read(
        yield* directory({
          "IMDB Dataset.csv": `review,sentiment\n${reviews.map((label, i) => `"Film ${i}",${label}\n`).join("")}`,
        }),
      )
      assert.deepStrictEqual(one.classes, ["negative", "positive"])
      assert.deepStrictEqual(
        one.test.map(({ text }) => text),
        ["Film 0", "Film 4"],
      )
      assert.strictEqual(one.train.length, 3)
      const wrong = (train: string) =>
        Effect.flatMap(
          directory({ "imdb_train.csv": train, "imdb_test.csv": "text,label\nx,1\n" }),
          (files) => Effect.flip(Datasets.read(files)),
        )
      assert.strictEqual(
        (yield* wrong("a film,1\n")).message,
        "data: imdb_train.csv: expected a first line with the columns text or review and label or sentiment, got a film, 1",
      )
      assert.strictEqual(
        (yield* wrong("text,label\nx,1\ny\n")).message,
        "data: imdb_train.csv: row 2 has no class",
      )
      const alone = yield* Effect.flip(
        Effect.flatMap(directory({ "imdb_train.csv": "text,label\nx,1\n" }), Datasets.read),
      )
      assert.strictEqual(alone.message, "data: imdb_test.csv is missing beside imdb_train.csv")
    }).pipe(Effect.scoped),
  )

  it.effect("are divided without overlap, the same way for the same seed", () =>
    Effect.gen(function* () {
      const texts = Synthetic.make({ classes: 4, train: 100, test: 8, seed: 0 })
      assert.deepStrictEqual(Synthetic.make({ classes: 4, train: 100, test: 8, seed: 0 }), texts)
      const shares = { heads: 0.2, validation: 0.1 }
      const divided = yield* LabelledText.divide(texts, shares, 5)
      assert.deepStrictEqual(yield* LabelledText.divide(texts, shares, 5), divided)
      const all = [...divided.experts, ...divided.heads, ...divided.validation].map(({ text }) => text)
      assert.strictEqual(new Set(all).size, 100)
      const parts = [0, 1, 2].map((index) => LabelledText.part(divided.experts, { index, of: 3 }))
      assert.strictEqual(parts.flat().length, divided.experts.length)
      const none = yield* Effect.flip(LabelledText.divide(texts, { heads: 0.9, validation: 0.1 }, 5))
      assert.match(none.message, /leave a set empty/)
    }),
  )

  it("views keep the tokens an encoder's tokenizer adds", () => {
    const tokens = [101, 1, 2, 3, 4, 5, 102]
    assert.deepStrictEqual(View.of({ from: "start", tokens: 4 })(tokens), [101, 1, 2, 102])
    assert.deepStrictEqual(View.of({ from: "end", tokens: 4 })(tokens), [101, 4, 5, 102])
    assert.deepStrictEqual(View.of({ from: "end", tokens: 3 }, false)(tokens), [4, 5, 102])
    assert.deepStrictEqual(View.of({ from: "end", tokens: 9 })(tokens), tokens)
  })

  it("the vocabulary joins frequent pairs first, and gives special tokens their places", () => {
    const pieces = WordPiece.train(["Low low, lower LOWEST newest newest"], { size: 60 })
    assert.deepStrictEqual(pieces.slice(0, 5), [...WordPiece.specials])
    assert.includeMembers(
      [...pieces],
      ["low", "newest", "##w", ","].filter((piece) => piece !== ","),
    )
    assert.deepStrictEqual(WordPiece.words("Café–bar, x"), ["cafe", "–", "bar", ",", "x"])
    assert.isAtMost(WordPiece.train(["aa ab ac ad"], { size: 8 }).length, 8)
  })
})
