/**
 * AIM: relaxes a merged model towards the base in the input channels that the base uses most.
 *
 *     a_c = (mean over tokens of |input c| in the base) / its largest,   W = W_0 + (W_1 − W_0) (1 − (1 − ω) a_c)
 *
 * Source: Nobari et al. 2025 (arXiv 2502.02421), equation 5. Default: omega 0.4 (0.2 … 0.6); 1 changes nothing. The one
 * model is a merge by any method. Needs statistics of kind `activation` of the base; a norm's a_c are of its own input.
 * Tensors without such statistics (embeddings, biases) are the merged model's.
 */
import { at, known } from "@hila/core/Lookup"
import { elementwise } from "../engine/Method.ts"
import * as Definition from "./Definition.ts"

const parameters = {
  omega: {
    level: "merge",
    kind: "number",
    default: 0.4,
    range: [0, 1],
    description: "how much of the change stays in the channel that the base uses most",
  },
} as const

type Params = Definition.ParamsOf<typeof parameters> & Definition.Columns

export const method = elementwise<Params>({
  name: "aim",
  module: import.meta.url,
  combine: (_, block, { params: { columns, omega, transposed } }) => {
    const { base, firstColumn, firstRow, models, out } = block
    const model = at(models, 0)
    if (columns.length === 0) return out.set(model)
    for (let row = 0; row < block.rows; row++) {
      for (let column = 0; column < block.columns; column++) {
        const i = row * block.columns + column
        const magnitude = known(columns[transposed ? firstRow + row : firstColumn + column])
        out[i] = known(base[i]) + (known(model[i]) - known(base[i])) * (1 - (1 - omega) * magnitude)
      }
    }
  },
})

export const definition = Definition.make({
  name: "aim",
  version: 1,
  summary: "relaxes a merged model towards the base in the channels that the base uses most",
  sources: [{ text: "Nobari et al. 2025", arxiv: "2502.02421", place: "equation 5" }],
  parameters,
  base: "required",
  models: [1, 1],
  taskVectors: false,
  statistics: { kinds: ["activation"], of: "base", use: "columns" },
  method: () => method,
})
