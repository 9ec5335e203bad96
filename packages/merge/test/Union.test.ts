import { assert, describe, it } from "@effect/vitest"
import * as TokenizerFile from "../src/tokenizers/TokenizerFile.ts"
import * as Union from "../src/tokenizers/Union.ts"
import { Tokenizer } from "@hila/model"
import * as Effect from "effect/Effect"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { scratch } from "./support.ts"
import { addedToken, words } from "./tiny.ts"

const json = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value))

/** Writes a tokenizer.json and reads it. */
const fileOf = Effect.fnUntraced(function* (value: unknown) {
  const path = join(yield* scratch, "tokenizer.json")
  yield* Effect.promise(() => writeFile(path, json(value)))
  const files = { "tokenizer.json": path }
  return { file: yield* TokenizerFile.read({ files }, "model"), files }
})

/** The union of tokenizers named a, b, c; its text must be read by this project's own tokenizer. */
const unite = Effect.fnUntraced(function* (...values: readonly [unknown, ...ReadonlyArray<unknown>]) {
  const [first, ...others] = yield* Effect.forEach(values, (value, index) =>
    Effect.map(fileOf(value), ({ file }) => ({ name: "abc".charAt(index), file })),
  )
  const united = Union.of([first, ...others])
  if (united._tag === "Refused") return yield* Effect.die(new Error(united.problem))
  const text = united.text ?? json(values[0])
  const { file, files } = yield* fileOf(text)
  assert.deepStrictEqual(new Map(file.ids), new Map(united.ids))
  const tokenizer = yield* Tokenizer.open({ files })
  return { ...united, text, contents: JSON.parse(text), file, encode: tokenizer.encode }
})

const refusal = Effect.fnUntraced(function* (a: unknown, b: unknown) {
  const [first, second] = [yield* fileOf(a), yield* fileOf(b)]
  const united = Union.of([
    { name: "a", file: first.file },
    { name: "b", file: second.file },
  ])
  return united._tag === "Refused" ? united.problem : "no refusal"
})

const shell = (added: ReadonlyArray<ReturnType<typeof addedToken>>, model: object) => ({
  ...words(["<unk>"]),
  added_tokens: added,
  model,
})

const bpe = (
  vocab: ReadonlyArray<string>,
  merges: ReadonlyArray<unknown>,
  added: ReadonlyArray<ReturnType<typeof addedToken>> = [addedToken("<s>", 0)],
  options: object = {},
) =>
  shell(added, {
    type: "BPE",
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    ...options,
    vocab: Object.fromEntries(vocab.map((token, id) => [token, id])),
    merges,
  })

const letters = ["<s>", "a", "b", "c", "d"]

describe("unions of tokenizers", () => {
  it.effect("write merges in one form, the first one's, whichever of the two forms the others have", () =>
    Effect.gen(function* () {
      // Case 08-union-bpe-merges-two-forms.
      const text = bpe([...letters, "ab", "cd", "abcd"], ["a b", "c d", "ab cd"])
      const pairs = bpe(
        [...letters, "ab", "dc", "abdc"],
        [
          ["a", "b"],
          ["d", "c"],
          ["ab", "dc"],
        ],
      )
      const one = yield* unite(text, pairs)
      assert.deepStrictEqual(one.contents.model.merges, ["a b", "c d", "ab cd", "d c", "ab dc"])
      assert.deepStrictEqual(yield* one.encode("abcd abdc"), [7, 9])
      const other = yield* unite(pairs, text)
      assert.deepStrictEqual(other.contents.model.merges.slice(2), [
        ["ab", "dc"],
        ["c", "d"],
        ["ab", "cd"],
      ])
      assert.deepStrictEqual(yield* other.encode("abcd abdc"), [9, 7])
    }),
  )

  it.effect(
    "write pairs where a token holds a space, and keep two merges apart that one text would stand for",
    () =>
      Effect.gen(function* () {
        const text = bpe([...letters, "ab"], ["a b"])
        const spaced = bpe(
          [...letters, " ", "a ", "b a", " b", "a b"],
          [
            ["a", " "],
            ["a ", "b"],
            [" ", "b"],
            ["a", " b"],
          ],
        )
        const { contents } = yield* unite(text, spaced)
        assert.deepStrictEqual(contents.model.merges, [
          ["a", "b"],
          ["a", " "],
          ["a ", "b"],
          [" ", "b"],
          ["a", " b"],
        ])
      }),
  )

  it.effect("keep every token that an object has a name for already", () =>
    Effect.gen(function* () {
      const odd = ["__proto__", "constructor", "toString", "hasOwnProperty"]
      const list = (tokens: ReadonlyArray<string>) =>
        tokens.map((token, id) => `${JSON.stringify(token)}:${id}`).join()
      const file = (tokens: ReadonlyArray<string>) =>
        `{"added_tokens":[],"normalizer":null,"post_processor":null,"decoder":null,"pre_tokenizer":{"type":"WhitespaceSplit"},"model":{"type":"WordLevel","unk_token":"<unk>","vocab":{${list(tokens)}}}}`
      const { encode, ids } = yield* unite(file(["<unk>", "a"]), file(["<unk>", "b", ...odd]))
      assert.deepStrictEqual([...ids.keys()], ["<unk>", "a", "b", ...odd])
      assert.deepStrictEqual(
        yield* encode("__proto__ constructor toString hasOwnProperty b"),
        [3, 4, 5, 6, 2],
      )
      const first = yield* unite(file(["<unk>", ...odd]), file(["<unk>", "b"]))
      assert.deepStrictEqual(yield* first.encode("__proto__ hasOwnProperty b"), [1, 4, 5])
    }),
  )

  it.effect("keep every byte of what the first one says already", () =>
    Effect.gen(function* () {
      const first =
        '{\n "version": "1.0",\n "normalizer": {"type":"Replace","pattern":{"String":"\\u2581"},"content":" "},\n "pre_tokenizer": null, "post_processor": null, "decoder": null,\n "added_tokens": [\n  {"id":0, "content":"<s>", "single_word":false, "lstrip":false, "rstrip":false, "normalized":false, "special":true}\n ],\n "model": {"type": "Unigram", "unk_id": 0,\n  "vocab": [["<s>", 0.0], ["\\u2581a", -1.50]]}\n}\n'
      const { text } = yield* unite(first, first.replace("u2581a", "u2581b"))
      assert.strictEqual(text, first.replace("-1.50]]", '-1.50], ["▁b", -1.5]]'))
      const none = Union.of([
        { name: "a", file: (yield* fileOf(first)).file },
        { name: "b", file: (yield* fileOf(first)).file },
      ])
      assert.strictEqual(none._tag === "Union" ? none.text : none.problem, undefined)
    }),
  )

  it.effect("put added tokens into the vocabulary where new tokens would push them from their ids", () =>
    Effect.gen(function* () {
      // The reference library numbers added tokens that are in no vocabulary from its size on.
      const first = bpe(letters, [], [addedToken("<s>", 0), addedToken("<pad>", 5)])
      const grown = yield* unite(first, bpe([...letters, "ab"], ["a b"]))
      assert.deepStrictEqual(grown.contents.model.vocab, {
        "<s>": 0,
        a: 1,
        b: 2,
        c: 3,
        d: 4,
        "<pad>": 5,
        ab: 6,
      })
      assert.deepStrictEqual(yield* grown.encode("ab<pad>"), [6, 5])
      const more = yield* unite(first, bpe(letters, [], [addedToken("<s>", 0), addedToken("<tool>", 5)]))
      assert.deepStrictEqual(more.contents.model.vocab, { "<s>": 0, a: 1, b: 2, c: 3, d: 4 })
      assert.deepStrictEqual(yield* more.encode("<tool><pad>"), [6, 5])
      const holes = yield* unite(
        bpe(letters, [], [addedToken("<s>", 0), addedToken("<pad>", 9)]),
        bpe(letters, [], [addedToken("<s>", 0), addedToken("<tool>", 5)]),
      )
      assert.deepStrictEqual(holes.contents.model.vocab, {
        "<s>": 0,
        a: 1,
        b: 2,
        c: 3,
        d: 4,
        "<pad>": 9,
        "<tool>": 10,
      })
    }),
  )

  it.effect("of Unigrams add tokens with their scores, past the places of added tokens", () =>
    Effect.gen(function* () {
      const unigram = (
        vocab: ReadonlyArray<readonly [string, number]>,
        added: ReadonlyArray<ReturnType<typeof addedToken>>,
      ) => shell(added, { type: "Unigram", unk_id: 0, vocab })
      const own: ReadonlyArray<readonly [string, number]> = [
        ["<unk>", 0],
        ["a", -2],
        ["b", -2.5],
      ]
      const { contents, encode } = yield* unite(
        unigram(own, [addedToken("<unk>", 0), addedToken("<pad>", 3), addedToken("<mask>", 4)]),
        unigram([...own, ["ab", -3.25], ["c", -9]], [addedToken("<unk>", 0), addedToken("<tool>", 5)]),
      )
      assert.deepStrictEqual(contents.model.vocab, [
        ...own,
        ["<pad>", -2.5],
        ["<mask>", -2.5],
        ["ab", -3.25],
        ["c", -9],
      ])
      assert.deepStrictEqual(
        contents.added_tokens.map(({ content, id }: { content: string; id: number }) => [content, id]),
        [
          ["<unk>", 0],
          ["<pad>", 3],
          ["<mask>", 4],
          ["<tool>", 7],
        ],
      )
      assert.deepStrictEqual(yield* encode("ab<tool>c<pad>"), [5, 7, 6, 3])
    }),
  )

  it.effect("of WordPieces and of words add to the vocabulary", () =>
    Effect.gen(function* () {
      const pieces = (vocab: ReadonlyArray<string>, prefix = "##") =>
        shell([addedToken("[UNK]", 0)], {
          type: "WordPiece",
          unk_token: "[UNK]",
          continuing_subword_prefix: prefix,
          max_input_chars_per_word: 100,
          vocab: Object.fromEntries(vocab.map((token, id) => [token, id])),
        })
      const { encode } = yield* unite(pieces(["[UNK]", "a", "##b"]), pieces(["[UNK]", "a", "##c", "c"]))
      assert.deepStrictEqual(yield* encode("abc ca"), [1, 2, 3, 0])
      assert.match(
        yield* refusal(pieces(["[UNK]", "a"]), pieces(["[UNK]", "@@b"], "@@")),
        /^the tokenizers spell words differently \(continuing_subword_prefix is "##" in a, "@@" in b\) and have no union/,
      )
      assert.match(
        yield* refusal(pieces(["[UNK]"]), words(["<unk>"])),
        /^tokenizers of different kinds \(WordPiece in a, WordLevel in b\) have no union: take one model's$/,
      )
    }),
  )

  it.effect("keep the first one's flags of an added token, and make added what any of them adds", () =>
    Effect.gen(function* () {
      const { contents, encode, notes } = yield* unite(
        bpe([...letters, "<x>"], [], [addedToken("<s>", 0)]),
        bpe([...letters, "<x>"], [], [addedToken("<s>", 0, { normalized: true }), addedToken("<x>", 5)]),
        bpe(letters, [], [addedToken("<s>", 0, { lstrip: true, special: false })]),
      )
      assert.deepStrictEqual(contents.added_tokens, [addedToken("<s>", 0), addedToken("<x>", 5)])
      assert.deepStrictEqual(yield* encode("a<x>b"), [1, 5, 2])
      assert.deepStrictEqual(notes, [
        'added tokens of b are ordinary ones of a, and become added ones: "<x>"',
        'added tokens of b with other flags than an earlier model gives them, whose flags are kept: "<s>"',
        'added tokens of c with other flags than an earlier model gives them, whose flags are kept: "<s>"',
      ])
    }),
  )

  it.effect("leave out and tell merges whose tokens are in no vocabulary, which nothing would read", () =>
    Effect.gen(function* () {
      const { contents, notes } = yield* unite(
        bpe(letters, []),
        bpe(
          [...letters, "ab"],
          [
            ["a", "b"],
            ["c", "d"],
          ],
        ),
      )
      assert.deepStrictEqual(contents.model.merges, [["a", "b"]])
      assert.deepStrictEqual(notes, [
        'merges of b are left out, since not all of their tokens are in its vocabulary: "cd"',
      ])
      // An added token of the first that the second makes by merges is in the vocabulary, too.
      const made = yield* unite(
        bpe(letters, [], [addedToken("<s>", 0), addedToken("ab", 5)]),
        bpe(
          [...letters, "ab", "abc"],
          [
            ["a", "b"],
            ["ab", "c"],
          ],
        ),
      )
      assert.strictEqual(made.contents.model.vocab.ab, 5)
      assert.deepStrictEqual(made.notes, [])
    }),
  )

  it.effect("cannot be made of what is no vocabulary", () =>
    Effect.gen(function* () {
      const problem = (value: unknown) => Effect.map(Effect.flip(fileOf(value)), ({ message }) => message)
      assert.match(
        yield* problem(bpe(letters, ["a b c"])),
        /model\.merges: expected two tokens at place 0, got "a b c"/,
      )
      assert.match(
        yield* problem(shell([], { type: "BPE", vocab: { a: 1.5 }, merges: [] })),
        /model\.vocab: the token "a": expected an id, 0 or above, got 1\.5/,
      )
      assert.match(
        yield* problem(shell([], { type: "Unigram", vocab: [["a", 0], ["b"]] })),
        /model\.vocab: expected a token and its score at place 1, got \["b"\]/,
      )
      assert.match(yield* problem({ model: { vocab: 3 } }), /model\.vocab: is no map from tokens to ids/)
    }),
  )
})
