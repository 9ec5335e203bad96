/** A definition and its arithmetic that disagree must not compile. Checked by the type checker alone; nothing here runs. */
import { elementwise } from "../src/engine/Method.ts"
import * as Definition from "../src/methods/Definition.ts"
import { definition as ties } from "../src/methods/Ties.ts"

const parameters = {
  density: { level: "model", kind: "number", default: 1, description: "share that stays" },
  form: { level: "merge", kind: ["soft", "hard"], default: "soft", description: "how it is cut" },
} as const

type Params = Definition.ParamsOf<typeof parameters>

const method = elementwise<Params>({
  name: "trial",
  module: "",
  combine: (_, { out }, { params }) => out.fill(params.form === "soft" ? (params.density[0] ?? 0) : 1),
})

const about = {
  name: "trial",
  version: 1,
  summary: "is a trial",
  sources: [],
  base: "none",
  models: [1, 1],
  taskVectors: false,
} as const

const fine = Definition.make({ ...about, parameters, method: () => method })
fine.parameters.density.level satisfies "model"
ties.parameters.density.range satisfies readonly [0, 1]

const { density, form } = parameters
const renamed = { densty: density, form } as const
const forMerge = { density: { ...density, level: "merge" }, form } as const
const flag = { density: { ...density, kind: "boolean" }, form } as const
const words = { density, form: { ...form, kind: ["soft", "firm"] } } as const
const unknown = { density: { ...density, kind: "numer" }, form } as const

// @ts-expect-error a parameter that is renamed in the definition alone
Definition.make({ ...about, parameters: renamed, method: () => method })
// @ts-expect-error one value for the merge, where the arithmetic has one for each model
Definition.make({ ...about, parameters: forMerge, method: () => method })
// @ts-expect-error another kind
Definition.make({ ...about, parameters: flag, method: () => method })
// @ts-expect-error a word that the arithmetic does not know
Definition.make({ ...about, parameters: words, method: () => method })
// @ts-expect-error a kind that there is not
Definition.make({ ...about, parameters: unknown, method: () => method })

elementwise<Params>({
  name: "trial",
  module: "",
  // @ts-expect-error a parameter that is renamed in the arithmetic alone
  combine: (_, { out }, { params }) => out.fill(params.densty[0]),
})
elementwise<Params>({
  name: "trial",
  module: "",
  // @ts-expect-error a word that the definition does not have
  combine: (_, { out }, { params }) => out.fill(params.form === "firm" ? 1 : 0),
})

// @ts-expect-error a check of a parameter that there is not
Definition.make({ ...about, parameters, method: () => method, refuse: ({ densty }) => densty })

const drawing = elementwise<Params & { readonly seed: number }>({ ...method, combine: () => {} })
Definition.make({ ...about, random: true, parameters, method: () => drawing })
// @ts-expect-error a method that draws and does not say so
Definition.make({ ...about, parameters, method: () => drawing })

const scaling = elementwise<Params & Definition.Columns>({ ...method, combine: () => {} })
const byColumn = { kinds: ["activation"], of: "base", use: "columns" } as const
Definition.make({ ...about, statistics: byColumn, parameters, method: () => scaling })
// @ts-expect-error a method that takes statistics by column and asks for none
Definition.make({ ...about, parameters, method: () => scaling })
