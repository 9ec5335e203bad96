import { assert, describe, it } from "@effect/vitest"
import { JsonText } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { bytesOf, scratch } from "./support.ts"
import * as Tiny from "./tiny.ts"

const Values = Schema.Union([Schema.Array(Schema.Finite), Schema.Array(Schema.Array(Schema.Finite))])
const Fixture = Schema.fromJsonString(
  Schema.Struct({
    models: Schema.Record(
      Schema.String,
      Schema.Struct({ rows: Schema.Record(Schema.String, Values), tokenizer: Schema.Unknown }),
    ),
    cases: Schema.Array(
      Schema.Struct({
        rule: Schema.Record(Schema.String, Schema.Unknown),
        weights: Schema.Record(Schema.String, Schema.Finite),
        expected: Schema.Record(
          Schema.String,
          Schema.Struct({
            tokens: Schema.Record(Schema.String, Schema.Union([Schema.Finite, Schema.Array(Schema.Finite)])),
            padding: Values,
          }),
        ),
      }),
    ),
  }),
)

const Vocabulary = Schema.Struct({
  added_tokens: Schema.Array(Schema.Struct({ content: Schema.String, id: Schema.Int })),
  model: Schema.Struct({ vocab: Schema.Record(Schema.String, Schema.Int) }),
})

const list = (row: number | ReadonlyArray<number> | undefined) =>
  typeof row === "number" ? [row] : (row ?? [])

const near = (got: ReadonlyArray<number> | undefined, expected: ReadonlyArray<number>, what: string) => {
  assert.strictEqual(got?.length, expected.length, what)
  for (const [i, value] of expected.entries()) assert.closeTo(got?.[i] ?? Number.NaN, value, 1e-6, what)
}

describe("rows of tokens", () => {
  it.effect("move, are lent and padded as mergekit 0.1.5 does it: embedding, head and the head's bias", () =>
    Effect.gen(function* () {
      const path = fileURLToPath(new URL("fixtures/token-rows.json", import.meta.url))
      const { cases, models } = yield* Schema.decodeUnknownEffect(Fixture)(String(yield* bytesOf(path)))
      const directory = yield* scratch
      for (const [name, { rows, tokenizer }] of Object.entries(models)) {
        const config = { vocab_size: rows["lm_head.bias"]?.length, bos_token_id: 1, eos_token_id: 2 }
        yield* Tiny.write(join(directory, name), {
          tensors: rows,
          config,
          files: { "tokenizer.json": tokenizer },
        })
      }
      assert.strictEqual(cases.length, 6)
      for (const { expected, rule, weights } of cases) {
        const listed = Object.entries(weights).map(([model, weight]) => ({ model, parameters: { weight } }))
        const recipe = { merge_method: "linear", base_model: "a", models: listed, tokenizer: rule }
        const { merged, rowsOf } = yield* Tiny.merge(directory, JSON.stringify(recipe))
        const text = String(yield* bytesOf(merged.files["tokenizer.json"] ?? ""))
        const { added_tokens, model } = yield* Schema.decodeUnknownEffect(JsonText.fromText(Vocabulary))(text)
        const ids = new Map(Object.entries(model.vocab))
        for (const { content, id } of added_tokens) ids.set(content, id)
        for (const [tensor, { padding, tokens }] of Object.entries(expected)) {
          const rows = yield* rowsOf(tensor)
          assert.strictEqual(ids.size, Object.keys(tokens).length)
          assert.strictEqual(rows.length, ids.size + padding.length)
          const what = `${JSON.stringify(rule)} ${JSON.stringify(weights)} ${tensor}`
          for (const [token, id] of ids) near(rows[id], list(tokens[token]), `${what} ${token}`)
          for (const [at, row] of padding.entries()) near(rows[ids.size + at], list(row), `${what}, padding`)
        }
        assert.strictEqual(
          merged.config["vocab_size"],
          ids.size + (expected["lm_head.bias"]?.padding.length ?? 0),
        )
      }
    }),
  )

  const tokens = ["<unk>", "<s>", "</s>", "w0", "w1", "w2"]
  const swapped = ["<unk>", "<s>", "</s>", "w1", "w0", "w2"]

  /** Two models: of the second, w0 and w1 are swapped. Row `id` of the first is `id`, of the second `id + 10`. */
  const pair = Effect.fnUntraced(function* (names: ReadonlyArray<string>, more: Tiny.Tiny["tensors"] = {}) {
    const directory = yield* scratch
    for (const [name, order, offset] of [
      ["a", tokens, 0],
      ["b", swapped, 10],
    ] as const) {
      const tensors = names.map((tensor) => {
        const matrix = Tiny.rows(6, offset)
        const bias = matrix.map(([value = 0]) => value)
        return [
          tensor,
          tensor.endsWith("logits_bias") ? [bias] : tensor.endsWith("bias") ? bias : matrix,
        ] as const
      })
      yield* Tiny.write(join(directory, name), {
        tensors: { ...Object.fromEntries(tensors), ...more },
        config: { vocab_size: 6 },
        files: { "tokenizer.json": Tiny.words(order) },
      })
    }
    return directory
  })

  const moved = [5, 6, 7, 8.5, 8.5, 10]

  it.effect("move in every embedding and head by whatever prefix and name, and in the heads' biases", () =>
    Effect.gen(function* () {
      // Cases 09-lm-head-bias-rows and 04c-vlm-head-rows; what other families of models call theirs.
      for (const names of [
        ["model.embed_tokens.weight", "lm_head.weight", "lm_head.bias"],
        ["language_model.model.embed_tokens.weight", "language_model.lm_head.weight"],
        ["model.language_model.embed_tokens.weight", "model.language_model.embed_tokens_per_layer.weight"],
        ["bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight", "cls.predictions.bias"],
        ["roberta.embeddings.word_embeddings.weight", "lm_head.decoder.weight", "lm_head.bias"],
        ["distilbert.embeddings.word_embeddings.weight", "vocab_projector.weight", "vocab_projector.bias"],
        ["gpt_neox.embed_in.weight", "embed_out.weight"],
        ["model.tok_embeddings.weight", "output.weight"],
        ["model.shared.weight", "model.encoder.embed_tokens.weight", "final_logits_bias"],
        ["model.decoder.embed_tokens.weight", "proj_out.weight"],
        ["transformer.wte.weight", "lm_head.linear.weight", "lm_head.linear.bias"],
        ["backbone.embeddings.weight", "model.layers.3.shared_head.head.weight"],
      ]) {
        const directory = yield* pair(names)
        const { rowsOf } = yield* Tiny.merge(directory, Tiny.mean("tokenizer_source: union\n"))
        for (const name of names)
          assert.deepStrictEqual(
            (yield* rowsOf(name)).map(([value]) => value),
            moved,
            name,
          )
      }
    }),
  )

  it.effect("stay in tables that are no tokens', and in heads that score", () =>
    Effect.gen(function* () {
      const other = Tiny.rows(6, 3)
      const more = {
        "transformer.wpe.weight": other,
        "bert.embeddings.position_embeddings.weight": other,
        "bert.embeddings.token_type_embeddings.weight": Tiny.rows(2),
        "score.weight": Tiny.rows(2),
        "layers.0.mlp.weight": other,
      }
      const directory = yield* pair(["transformer.wte.weight"], more)
      const { rowsOf } = yield* Tiny.merge(directory, Tiny.mean("tokenizer_source: union\n"))
      for (const [name, values] of Object.entries(more))
        assert.deepStrictEqual(yield* rowsOf(name), values, name)
    }),
  )

  it.effect("that may be tokens' or not are refused by name where they would have to move", () =>
    Effect.gen(function* () {
      const refused = (more: Tiny.Tiny["tensors"]) =>
        Effect.flatMap(pair(["model.embed_tokens.weight"], more), (directory) =>
          Effect.flip(Tiny.merge(directory, Tiny.mean("tokenizer_source: union\n"))),
        )
      assert.match(
        (yield* refused({ "model.draft_map": [0, 1, 2, 3, 4, 5] })).message,
        /recipe\.yml:5:19: tensor model\.draft_map of b has 6 in its shape \[6\], as many as there are rows of tokens: whether its rows are tokens' is not known/,
      )
      assert.match(
        (yield* refused({ "talker.model.embed_tokens.weight": Tiny.rows(4) })).message,
        /tensor talker\.model\.embed_tokens\.weight of b has 4 rows, the embedding model\.embed_tokens\.weight has 6: /,
      )
    }),
  )

  it.effect("of a bias come with a new token's row, and models of other dtypes lend theirs unrounded", () =>
    Effect.gen(function* () {
      // Case 09c-lm-head-bias-message: the second model has a token more, and so a longer bias.
      const directory = yield* scratch
      const fine = 1 + 2 ** -12
      const model = (order: ReadonlyArray<string>, last: number) => ({
        tensors: {
          "model.embed_tokens.weight": order.map((_, id) => [id === 6 ? last : id]),
          "lm_head.weight": order.map((_, id) => [id === 6 ? last : id]),
          "lm_head.bias": order.map((_, id) => (id === 6 ? last : id)),
        },
        config: { vocab_size: order.length },
        files: { "tokenizer.json": Tiny.words(order) },
      })
      yield* Tiny.write(join(directory, "a"), { ...model(tokens, 0), dtype: "BF16" })
      yield* Tiny.write(join(directory, "b"), model([...tokens, "<tool>"], fine))
      const { rowsOf } = yield* Tiny.merge(directory, Tiny.mean("tokenizer_source: union\ndtype: float32\n"))
      for (const name of ["model.embed_tokens.weight", "lm_head.weight", "lm_head.bias"])
        assert.deepStrictEqual(yield* rowsOf(name), [[0], [1], [2], [3], [4], [5], [fine]], name)
    }),
  )

  it.effect("past the vocabulary are not counted in the mean, even where they hold NaN", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      for (const name of ["a", "b"])
        yield* Tiny.write(join(directory, name), {
          tensors: { "model.embed_tokens.weight": [...Tiny.rows(6), [Number.NaN, 1e30], [7, Number.NaN]] },
          config: { vocab_size: 8 },
          files: { "tokenizer.json": Tiny.words(tokens) },
        })
      const { rowsOf } = yield* Tiny.merge(
        directory,
        Tiny.mean("tokenizer: {source: union, pad_to_multiple_of: 8}\n"),
      )
      assert.deepStrictEqual((yield* rowsOf("model.embed_tokens.weight")).slice(6), [
        [2.5, 2.5],
        [2.5, 2.5],
      ])
    }),
  )

  it.effect("that a tokenizer's tokens lack are another model's, or refused", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const write = (name: string, count: number) =>
        Tiny.write(join(directory, name), {
          tensors: { "model.embed_tokens.weight": Tiny.rows(count, name === "b" ? 10 : 0) },
          config: { vocab_size: count },
          files: { "tokenizer.json": Tiny.words([...tokens, "<pad>"]) },
        })
      yield* write("a", 6)
      yield* write("b", 7)
      const { notes, rowsOf } = yield* Tiny.merge(directory, Tiny.mean("tokenizer_source: union\n"))
      assert.deepStrictEqual((yield* rowsOf("model.embed_tokens.weight"))[6], [16, 16])
      assert.include(notes, 'a has 6 embedding rows and none for its tokens "<pad>"')
      yield* write("b", 6)
      assert.match(
        (yield* Effect.flip(Tiny.merge(directory, Tiny.mean("tokenizer_source: union\n")))).message,
        /token "<pad>": no model has a row for its id 6 \(a has 6\): give it a source under tokenizer\.tokens, \{kind: zero\} for instance$/,
      )
      const rule = "tokenizer: {source: union, tokens: {<pad>: {source: {kind: zero}}}}\n"
      const given = yield* Tiny.merge(directory, Tiny.mean(rule))
      assert.deepStrictEqual((yield* given.rowsOf("model.embed_tokens.weight"))[6], [0, 0])
    }),
  )

  it.effect(
    "of a model without any tokenizer file are taken to be the base's tokens', if they are as many",
    () =>
      Effect.gen(function* () {
        const directory = yield* pair(["model.embed_tokens.weight"])
        const bare = (count: number) =>
          Tiny.write(join(directory, "c"), {
            tensors: { "model.embed_tokens.weight": Tiny.rows(count, 20) },
            config: { vocab_size: count },
          })
        const recipe =
          "merge_method: linear\nmodels:\n- {model: a, parameters: {weight: 1}}\n- {model: c, parameters: {weight: 1}}\ntokenizer_source: union\n"
        yield* bare(6)
        const { notes, rowsOf } = yield* Tiny.merge(directory, recipe)
        assert.deepStrictEqual(yield* rowsOf("model.embed_tokens.weight"), Tiny.rows(6, 10))
        assert.include(notes, "c has no tokenizer: it is taken to have the tokens of a, with as many rows")
        yield* bare(7)
        assert.match(
          (yield* Effect.flip(Tiny.merge(directory, recipe))).message,
          /has no tokenizer\.json, which a tokenizer rule needs/,
        )
      }),
  )
})

describe("the tokenizer of a result", () => {
  const embedding = "model.embed_tokens.weight"
  const model = (tokens: ReadonlyArray<string>, change: object = {}, more: Tiny.Tiny["files"] = {}) => ({
    tensors: { [embedding]: Tiny.rows(tokens.length) },
    config: { vocab_size: tokens.length },
    files: { "tokenizer.json": { ...Tiny.words(tokens), ...change }, ...more },
  })

  it.effect("leaves out files that say the vocabulary in another form, where a union has more tokens", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const stale = { "tokenizer.model": "old", "added_tokens.json": {}, "vocab.json": {}, "merges.txt": "" }
      const kept = { "tokenizer_config.json": { eos_token: "</s>" }, "special_tokens_map.json": {} }
      yield* Tiny.write(join(directory, "a"), model(["<unk>", "w0"], {}, { ...stale, ...kept }))
      yield* Tiny.write(join(directory, "b"), model(["<unk>", "w0", "w1"]))
      const { merged, notes } = yield* Tiny.merge(directory, Tiny.mean("tokenizer_source: union\n"))
      for (const name of Object.keys(stale)) assert.isUndefined(merged.files[name], name)
      for (const name of Object.keys(kept)) assert.isDefined(merged.files[name], name)
      assert.deepStrictEqual(
        notes.filter((note) => note.endsWith("of a: left out, since the union has more tokens")).length,
        1,
      )
      // The same files go along where the first tokenizer is the result's as it is.
      const base = yield* Tiny.merge(directory, Tiny.mean("tokenizer_source: base\n"))
      for (const name of Object.keys(stale)) assert.isDefined(base.merged.files[name], name)
    }),
  )

  it.effect("splits text as one model does, which is told where another does otherwise", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const lower = { normalizer: { type: "Lowercase" }, pre_tokenizer: { type: "Whitespace" } }
      yield* Tiny.write(join(directory, "a"), model(["<unk>", "w0"]))
      yield* Tiny.write(join(directory, "b"), model(["<unk>", "w0"], lower))
      const { notes } = yield* Tiny.merge(directory, Tiny.mean("tokenizer_source: union\n"))
      assert.include(
        notes,
        "b splits text otherwise than a (normalizer, pre_tokenizer), whose way the result has: some tokens of b may never arise in it",
      )
    }),
  )
})
