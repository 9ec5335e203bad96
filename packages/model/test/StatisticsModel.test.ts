import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { join } from "node:path"
import { Checkpoint, Dtype, LayerGroup, Runtime } from "../src/index.ts"
import { microBase, temporary } from "./support/fixtures.ts"
import { example, openModel } from "./support/models.ts"
import { firstLayer, type Inputs } from "./support/plainLlama.ts"
import { covarianceOf, diagonalBlocks, means, of, openStatistics, relative } from "./support/statistics.ts"

// Two sums of different lengths, so that one of them is padded.
const examples = [example([1, 51, 28, 2, 60, 61, 17, 33, 90, 12], 6), example([1, 51, 28, 2, 44, 17, 7], 5)]
const at = (name: string) => `model.layers.0.${name}.weight`

layer(Runtime.layerWith({ workers: 2, threads: 2 }))("Statistics of weights", (it) => {
  it.effect("gram and activation are those of hidden states computed in plain loops", () =>
    Effect.gen(function* () {
      const model = yield* openStatistics(microBase)
      const checkpoint = yield* Checkpoint.open(microBase)
      const rows = (yield* Effect.forEach(examples, ({ tokens }) =>
        firstLayer(checkpoint, model.shape, tokens.slice(0, -1)),
      )).flat()
      const gram = yield* means(model, examples, { kind: "gram" })
      const activation = yield* means(model, examples, { kind: "activation" })
      const roles: ReadonlyArray<readonly [name: string, role: keyof Inputs, isNorm?: true]> = [
        ["input_layernorm", "stream", true],
        ["self_attn.q_proj", "attention"],
        ["self_attn.v_proj", "attention"],
        ["self_attn.o_proj", "output"],
        ["post_attention_layernorm", "sum", true],
        ["mlp.gate_proj", "mlp"],
        ["mlp.down_proj", "down"],
      ]
      for (const [name, role, isNorm] of roles) {
        const states = rows.map((row) => row[role])
        const size = states[0]!.length
        const magnitude = Array.from({ length: size }, (_, c) =>
          states.reduce((sum, state) => sum + Math.abs(state[c]!) / rows.length, 0),
        )
        // float32 forward against float64 loops over bf16 weights.
        assert.isAtMost(relative(of(activation, `${at(name)}.magnitude`).data, magnitude), 1e-5, name)
        if (isNorm) continue
        const { data, shape } = of(gram, `${at(name)}.input`)
        assert.deepStrictEqual(shape, [size, size])
        assert.isAtMost(relative(data, covarianceOf(states)), 1e-5, name)
      }
      // Layers that read the same have the same, and every linear layer and norm has one; a tied head has none.
      assert.strictEqual(
        of(gram, `${at("mlp.gate_proj")}.input`).data,
        of(gram, `${at("mlp.up_proj")}.input`).data,
      )
      assert.deepStrictEqual([gram.size, activation.size], [4 * 7, 4 * 9 + 1])
    }),
  )

  it.effect("fisher is the square of what a parameter changes the loss by", () =>
    Effect.gen(function* () {
      const one = examples.slice(0, 1)
      const fisher = yield* means(yield* openStatistics(microBase), one, { kind: "fisher" })
      const checkpoint = yield* Checkpoint.open(microBase)
      const lossWith = Effect.fnUntraced(function* (tensor: string, index: number, step: number) {
        const directory = join(yield* temporary, "moved")
        yield* Checkpoint.write(directory, {
          like: checkpoint,
          tensors: [...checkpoint.tensors.values()].map((info) => ({ ...info, dtype: "F32" as const })),
          data: ({ name }, write) =>
            Effect.gen(function* () {
              const values = yield* Checkpoint.readFloat32(checkpoint, name)
              if (name === tensor) values[index]! += step
              yield* write(Dtype.fromFloat32(values, "F32"))
            }),
        })
        return (yield* (yield* openModel(directory)).losses(one))[0]!
      })
      for (const tensor of [at("self_attn.k_proj"), "model.embed_tokens.weight", "model.norm.weight"]) {
        const { data } = of(fisher, tensor)
        const index = data.indexOf(Math.max(...data))
        const step = 0.01
        const [up, down] = [yield* lossWith(tensor, index, step), yield* lossWith(tensor, index, -step)]
        // Central differences of a float32 loss: third derivatives and rounding leave a few per mille.
        assert.isAtMost(relative([((up - down) / (2 * step)) ** 2], [data[index]!]), 1e-2, tensor)
      }
    }),
  )

  it.effect(
    "fisher and saliency are means over examples; saliency adds up to the sensitivity of layers",
    () =>
      Effect.gen(function* () {
        const model = yield* openStatistics(microBase)
        const fisher = yield* means(model, examples, { kind: "fisher" })
        const singly = yield* Effect.forEach(examples, (one) => means(model, [one], { kind: "fisher" }))
        for (const [name, { data }] of fisher) {
          const [a, b] = singly.map((found) => of(found, name).data)
          assert.deepStrictEqual(
            data,
            a!.map((value, i) => (value + b![i]!) / 2),
          )
        }
        const saliency = yield* means(model, examples, { kind: "saliency" })
        const { groups, values } = yield* (yield* openModel(microBase)).sensitivity(examples)
        const sums = groups.map((group) =>
          [...saliency]
            .filter(([name]) => LayerGroup.of(name) === group)
            .reduce((sum, [, { data }]) => sum + data.reduce((total, value) => total + value, 0), 0),
        )
        const expected = groups.map((_, g) => (values[0]![g]! + values[1]![g]!) / 2)
        // The graph adds a layer's 200 000 terms in float32.
        assert.isAtMost(relative(sums, expected), 1e-4)

        // |θ·∇| squared is θ²·∇² of one example.
        const checkpoint = yield* Checkpoint.open(microBase)
        const one = yield* means(model, examples.slice(0, 1), { kind: "saliency" })
        const weights = yield* Checkpoint.readFloat32(checkpoint, at("mlp.up_proj"))
        const squares = of(one, at("mlp.up_proj")).data.map((value) => value * value)
        const products = of(singly[0]!, at("mlp.up_proj")).data.map((value, i) => value * weights[i]! ** 2)
        assert.isAtMost(relative(squares, products), 1e-5)
      }),
  )

  it.effect("factors of one token are the outer products its gradient is made of", () =>
    Effect.gen(function* () {
      const model = yield* openStatistics(microBase)
      const products = Effect.fnUntraced(function* (tokens: ReadonlyArray<number>) {
        const one = [example(tokens, tokens.length - 1)]
        return {
          kronecker: yield* means(model, one, { kind: "kronecker" }),
          fisher: yield* means(model, one, { kind: "fisher" }),
        }
      })
      const one = yield* products([1, 51])
      for (const name of ["self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj"]) {
        const [input, output] = [
          of(one.kronecker, `${at(name)}.input`),
          of(one.kronecker, `${at(name)}.outputGradient`),
        ]
        const [inputs, outputs] = [input.shape[0]!, output.shape[0]!]
        // (g·xᵀ)² = diag(g·gᵀ)·diag(x·xᵀ)ᵀ; two orders of summing in float32, squared.
        const expected = of(one.fisher, at(name)).data
        const outer = expected.map(
          (_, k) =>
            output.data[Math.floor(k / inputs) * (outputs + 1)]! * input.data[(k % inputs) * (inputs + 1)]!,
        )
        assert.isAtMost(relative(outer, expected), 1e-5, name)
        // Rank one: every 2 × 2 minor of an outer product vanishes.
        const s = output.data
        assert.isAtMost(
          Math.abs(s[1]! * s[outputs]! - s[0]! * s[outputs + 1]!) / (s[0]! * s[outputs + 1]!),
          1e-4,
        )
      }
      // Of two tokens only the second has queries that matter: the first sees itself alone.
      const two = yield* products([1, 51, 28])
      const query = at("self_attn.q_proj")
      const [first, both] = [one, two].map(({ kronecker }) => of(kronecker, `${query}.input`).data)
      const output = of(two.kronecker, `${query}.outputGradient`).data
      const outer = of(two.fisher, query).data.map((_, k) => {
        const [i, j] = [Math.floor(k / 128) * 129, (k % 128) * 129]
        return 2 * output[i]! * (2 * both![j]! - first![j]!)
      })
      assert.isAtMost(relative(outer, of(two.fisher, query).data), 1e-4)
    }),
  )

  it.effect("a tied embedding has factors of what it reads and of what the head makes of it", () =>
    Effect.gen(function* () {
      const model = yield* openStatistics(microBase)
      const found = yield* means(model, examples, { kind: "kronecker" })
      const table = "model.embed_tokens.weight"
      const read = examples.flatMap(({ tokens }) => tokens.slice(0, -1))
      const frequency = Array.from(
        { length: 320 },
        (_, v) => read.filter((t) => t === v).length / read.length,
      )
      assert.isAtMost(relative(of(found, `${table}.frequency`).data, frequency), 1e-6)

      const causal = yield* openModel(microBase)
      const rows = examples.map(({ tokens }) => tokens.slice(0, -1))
      const [logits, hidden] = [yield* causal.logits(rows), yield* causal.hidden(rows)]
      const predictions = examples.flatMap(({ promptLength, tokens }, e) =>
        tokens.slice(promptLength).map((target, i) => {
          const at = promptLength - 1 + i
          const scores = Array.from(logits[e]!.subarray(at * 320, (at + 1) * 320), Math.exp)
          const total = scores.reduce((sum, score) => sum + score, 0)
          return {
            residual: scores.map((score, v) => score / total - (v === target ? 1 : 0)),
            hidden: hidden[e]!.subarray(at * 128, (at + 1) * 128),
          }
        }),
      )
      const headInput = covarianceOf(predictions.map((one) => one.hidden))
      assert.isAtMost(relative(of(found, `${table}.headInput`).data, headInput), 1e-5)
      const squares = Array.from({ length: 320 }, (_, v) =>
        predictions.reduce((sum, { residual }) => sum + residual[v]! ** 2 / predictions.length, 0),
      )
      assert.isAtMost(relative(of(found, `${table}.headResidual`).data, squares), 1e-5)

      // Of one token: the row's gradient is that of what is read, ±g, and the head's share r = (p − 1)·h.
      const one = [example([1, 51], 1)]
      const { data: s } = of(yield* means(model, one, { kind: "kronecker" }), `${table}.outputGradient`)
      const { data: f } = of(yield* means(model, one, { kind: "fisher" }), table)
      const [first] = [(yield* causal.logits([[1]]))[0]!]
      const total = first.reduce((sum, score) => sum + Math.exp(score), 0)
      const h = (yield* causal.hidden([[1]]))[0]!
      for (let i = 0; i < 128; i++) {
        const [g, r] = [Math.sqrt(s[i * 129]!), (Math.exp(first[1]!) / total) * h[i]!]
        const root = Math.sqrt(f[128 + i]!)
        assert.isAtMost(
          Math.min(Math.abs(Math.abs(g + r) - root), Math.abs(Math.abs(g - r) - root)),
          1e-4 * (g + root) + 1e-7,
        )
      }
    }),
  )

  it.effect("kronecker's inputs are gram's, means weigh tokens, and blocks are those of the whole", () =>
    Effect.gen(function* () {
      const model = yield* openStatistics(microBase)
      const gram = yield* means(model, examples, { kind: "gram" })
      const full = yield* means(model, examples, { kind: "kronecker" })
      const blocked = yield* means(model, examples, { kind: "kronecker", blocked: true })
      const singly = yield* Effect.forEach(examples, (one) => means(model, [one], { kind: "kronecker" }))
      const tokens = examples.map((one) => one.tokens.length - 1)
      assert.deepStrictEqual([...blocked.keys()], [...full.keys()])
      for (const [name, { data }] of [...full].filter(([key]) => key.startsWith("model.layers."))) {
        if (name.endsWith(".input")) assert.isAtMost(relative(of(gram, name).data, data), 1e-6, name)
        const [a, b] = singly.map((found) => of(found, name).data)
        const weighed = a!.map(
          (value, i) => (value * tokens[0]! + b![i]! * tokens[1]!) / (tokens[0]! + tokens[1]!),
        )
        // Padded and run alone: other orders of summing.
        assert.isAtMost(relative(data, weighed), 1e-5, name)

        const { data: own, shape } = of(blocked, name)
        const size = shape.length === 1 ? 1 : shape.at(-1)!
        assert.isAtMost(
          relative(own, size === Math.sqrt(data.length) ? data : diagonalBlocks(data, size)),
          1e-5,
          name,
        )
      }
      const shapes = Object.fromEntries(
        [...blocked]
          .filter(([name]) => name.startsWith("model.layers.0."))
          .map(([name, { shape }]) => [name, shape]),
      )
      assert.deepStrictEqual(shapes, {
        [`${at("self_attn.q_proj")}.input`]: [128, 128],
        [`${at("self_attn.q_proj")}.outputGradient`]: [8, 16, 16],
        [`${at("self_attn.k_proj")}.input`]: [128, 128],
        [`${at("self_attn.k_proj")}.outputGradient`]: [4, 16, 16],
        [`${at("self_attn.v_proj")}.input`]: [128, 128],
        [`${at("self_attn.v_proj")}.outputGradient`]: [4, 16, 16],
        [`${at("self_attn.o_proj")}.input`]: [8, 16, 16],
        [`${at("self_attn.o_proj")}.outputGradient`]: [128, 128],
        [`${at("mlp.gate_proj")}.input`]: [128, 128],
        [`${at("mlp.gate_proj")}.outputGradient`]: [384],
        [`${at("mlp.up_proj")}.input`]: [128, 128],
        [`${at("mlp.up_proj")}.outputGradient`]: [384],
        [`${at("mlp.down_proj")}.input`]: [384],
        [`${at("mlp.down_proj")}.outputGradient`]: [128, 128],
      })
    }),
  )

  it.effect(
    "passes within a budget give the same, to the last bit; a budget that is too small is refused",
    () =>
      Effect.gen(function* () {
        const model = yield* openStatistics(microBase)
        const whole = yield* means(model, examples, { kind: "gram" })
        const options = { kind: "gram", memory: 3_000_000 } as const
        assert.isAtLeast((yield* model.passes(options)).length, 3)
        assert.deepStrictEqual(yield* means(model, examples, options), whole)
        const error = yield* Effect.flip(model.passes({ kind: "gram", memory: 1_000_000 }))
        assert.match(
          error.message,
          /mlp\.down_proj\.weight\.input of gram statistics takes 2359296 bytes of the 1000000/,
        )
        assert.strictEqual(error.blame, "input")
        const [pass] = yield* model.passes({ kind: "activation" })
        const none = yield* Effect.flip(model.collect(pass!, [example([1, 2], 2)]))
        assert.match(none.message, /example 0: expected a prompt/)
      }),
  )
})
