/** Mistakes that must not compile. Checked by the type checker alone; nothing here runs. */
import { Artifact, Choice, Pipeline, Plan, Run, Source, Stage, type Store } from "@hila/core"
import { Context, Effect, Layer, Schema } from "effect"

const Golden = Artifact.json("golden", Schema.Array(Schema.String))
const Model = Artifact.json("model", Schema.Struct({ layers: Schema.Int }))
class Runtime extends Context.Service<Runtime, { readonly f: number }>()("typetest/Runtime") {}

const score = Stage.make({
  name: "score",
  version: 1,
  inputs: { model: Model, golden: Stage.each(Golden) },
  params: { method: Schema.Literals(["revert", "add"]), limit: Schema.optionalKey(Schema.Int) },
  output: Model,
  run: ({ model }) => Effect.map(Runtime, () => model),
})
const model = Source.value(Model, { layers: 2 })
const golden = Source.value(Golden, ["a"])

const node = score({ model, golden: [golden] }, { method: "revert" })

// @ts-expect-error wrong artifact in a slot
score({ model: golden, golden: [golden] }, { method: "revert" })
// @ts-expect-error missing slot
score({ model }, { method: "revert" })
// @ts-expect-error one node where many are asked
score({ model, golden }, { method: "revert" })
// @ts-expect-error many nodes where one is asked
score({ model: [model], golden: [golden] }, { method: "revert" })
// @ts-expect-error unknown parameter
score({ model, golden: [golden] }, { method: "revert", limitt: 1 })
// @ts-expect-error parameter of the wrong type
score({ model, golden: [golden] }, { method: "revrt" })
// @ts-expect-error missing parameters
score({ model, golden: [golden] })

const merge = Stage.make({
  name: "merge",
  version: 1,
  params: { method: Choice.schema(["ties", "linear"], { ties: 2 }) },
  output: Model,
  run: (_, { method }) => Effect.succeed({ layers: method === "ties" ? 1 : 2 }),
})
merge({}, { method: "ties" })
// @ts-expect-error a way that there is not
merge({}, { method: "tie" })
// @ts-expect-error a way with its version, which is the key's own business
merge({}, { method: "ties@2" })

Pipeline.make({ name: "fine", build: () => ({ node }), layer: Layer.succeed(Runtime, { f: 1 }) })
// @ts-expect-error a service that no layer provides
Pipeline.make({ name: "missing", build: () => ({ node }) })
// @ts-expect-error a layer that provides another service
Pipeline.make({ name: "wrong", build: () => ({ node }), layer: Layer.empty })
Pipeline.make({ name: "plain", build: () => ({ model }), layer: Layer.empty })

class Kernel extends Context.Service<Kernel, { readonly identity: string }>()("typetest/Kernel") {}
const declared = Stage.make({
  name: "declared",
  version: 1,
  inputs: { model: Model },
  output: Model,
  environment: [Kernel],
  run: ({ model }) => Effect.succeed(model),
})
Stage.make({
  name: "unidentified",
  version: 1,
  output: Model,
  // @ts-expect-error a service without an identity
  environment: [Runtime],
  run: () => Effect.succeed({ layers: 1 }),
})

type ServicesOf<T> = T extends Effect.Effect<infer _A, infer _E, infer R> ? R : never
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false
const yes = <_ extends true>() => undefined

const both = declared({ model: node })
const planOfPlain = Plan.make({ node })
const planOfDeclared = Plan.make({ both })
const runOfDeclared = Run.outputs({ both })
// A plan needs the services whose identities are in the keys, and no other.
yes<Same<ServicesOf<typeof planOfPlain>, Store>>()
yes<Same<ServicesOf<typeof planOfDeclared>, Store | Kernel>>()
yes<Same<ServicesOf<typeof runOfDeclared>, Store | Kernel | Runtime>>()
// @ts-expect-error a pipeline whose layer lacks the declared environment
Pipeline.make({ name: "undeclared", build: () => ({ both }), layer: Layer.succeed(Runtime, { f: 1 }) })
