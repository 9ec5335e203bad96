/**
 * AdamW: Adam with decoupled weight decay (Kingma & Ba, 2015; Loshchilov & Hutter, 2019), on typed arrays.
 */
import { known } from "@hila/core/Lookup"

/** A parameter: its sizes and its numbers, row-major. Training changes the numbers in place. */
export interface Parameter {
  readonly shape: ReadonlyArray<number>
  readonly data: Float32Array
}
export type Parameters = ReadonlyMap<string, Parameter>

export interface Options {
  readonly beta1?: number
  readonly beta2?: number
  readonly epsilon?: number
  /** Decay per step, times the rate; of matrices only, never of biases and norms. */
  readonly weightDecay?: number
  /** Adds l2 · θ to the gradient of matrices: the penalty l2/2 · ‖θ‖² of a regression. */
  readonly l2?: number
}

export interface AdamW {
  /** One step at `rate` along gradients by name; parameters without a gradient stay. */
  readonly step: (gradients: ReadonlyMap<string, Float32Array>, rate: number) => void
}

/** An optimiser of these parameters, in place. */
export const make = (parameters: Parameters, options: Options = {}): AdamW => {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, l2 = 0, weightDecay = 0 } = options
  const first = new Map<string, Float32Array>()
  const second = new Map<string, Float32Array>()
  let steps = 0
  const moments = (of: Map<string, Float32Array>, name: string, size: number) => {
    const before = of.get(name)
    if (before !== undefined) return before
    const made = new Float32Array(size)
    of.set(name, made)
    return made
  }
  return {
    step: (gradients, rate) => {
      steps += 1
      const [unbias1, unbias2] = [1 - beta1 ** steps, 1 - beta2 ** steps]
      for (const [name, gradient] of gradients) {
        const parameter = parameters.get(name)
        if (parameter === undefined) continue
        const { data, shape } = parameter
        const [m, v] = [moments(first, name, data.length), moments(second, name, data.length)]
        const isMatrix = shape.length > 1
        const keep = isMatrix ? 1 - rate * weightDecay : 1
        const penalty = isMatrix ? l2 : 0
        for (let i = 0; i < data.length; i++) {
          const value = known(data[i])
          const g = known(gradient[i]) + penalty * value
          const mean = (m[i] = beta1 * known(m[i]) + (1 - beta1) * g)
          const square = (v[i] = beta2 * known(v[i]) + (1 - beta2) * g * g)
          data[i] = keep * value - (rate * mean) / unbias1 / (Math.sqrt(square / unbias2) + epsilon)
        }
      }
    },
  }
}
