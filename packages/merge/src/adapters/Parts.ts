/**
 * The tensors of an adapter_model.safetensors by the module they belong to and the part they play, under every name that
 * PEFT gives them: with and without its prefix, with the adapter's name in between, as a copy of the base's own tensor.
 */
import type { Safetensors } from "@hila/model"
import * as Effect from "effect/Effect"

/** A factor of a product, what is added to a bias, or a tensor that stands in place of the base's. */
export type Part = "A" | "B" | "embeddingA" | "embeddingB" | "factorBias" | "whole"

/** The parts of a module; those that stand in place of the base's are by their own last name, `weight` or `bias`. */
export interface ModuleParts {
  readonly factors: ReadonlyMap<Exclude<Part, "whole">, Safetensors.TensorInfo>
  readonly whole: ReadonlyMap<string, Safetensors.TensorInfo>
}

/** What is wrong with a file of parts, at which tensor. */
export interface PartProblem {
  readonly tensor?: string
  readonly problem: string
}

const forms: ReadonlyArray<readonly [Exclude<Part, "whole">, RegExp]> = [
  ["A", /^(.+)\.lora_A(?:\.default)?\.weight$/],
  ["B", /^(.+)\.lora_B(?:\.default)?\.weight$/],
  ["embeddingA", /^(.+)\.lora_embedding_A(?:\.default)?$/],
  ["embeddingB", /^(.+)\.lora_embedding_B(?:\.default)?$/],
  ["factorBias", /^(.+)\.lora_B(?:\.default)?\.bias$/],
]

const wholeForm = /^(.+?)(?:\.base_layer|\.modules_to_save(?:\.default)?)?\.(\w+)$/

/** Parts that PEFT writes for other methods than this, which may lie beside pairs. */
const foreign = /\.(?:lora_(?!A\b|B\b|embedding_[AB]\b)\w+|lora_[AB]|token_adapter)\b/

interface Read {
  readonly module: string
  readonly part: Part
  /** `weight` or `bias` of a tensor that is whole. */
  readonly leaf: string
}

const read = (name: string): Read | undefined => {
  const bare = name.replace(/^base_model\.model\./, "")
  for (const [part, form] of forms) {
    const module = form.exec(bare)?.[1]
    if (module !== undefined) return { module, part, leaf: "" }
  }
  if (foreign.test(bare)) return undefined
  const [, module, leaf] = wholeForm.exec(bare) ?? []
  return module === undefined || leaf === undefined ? undefined : { module, part: "whole", leaf }
}

/** The parts by module; fails at a tensor that is none, and where one part stands twice. */
export const of = Effect.fnUntraced(function* (
  tensors: ReadonlyMap<string, Safetensors.TensorInfo>,
): Effect.fn.Return<ReadonlyMap<string, ModuleParts>, PartProblem> {
  const modules = new Map<
    string,
    {
      readonly factors: Map<Exclude<Part, "whole">, Safetensors.TensorInfo>
      readonly whole: Map<string, Safetensors.TensorInfo>
    }
  >()
  for (const [tensor, info] of tensors) {
    const found = read(tensor)
    if (found === undefined) {
      const problem = "is neither a factor of a LoRA nor a tensor of the model"
      return yield* Effect.fail({ tensor, problem })
    }
    const parts = modules.get(found.module) ?? { factors: new Map(), whole: new Map() }
    modules.set(found.module, parts)
    const before = found.part === "whole" ? parts.whole.get(found.leaf) : parts.factors.get(found.part)
    if (before !== undefined) {
      const problem = `is the same part of ${found.module} as ${before.name}: the file names it twice`
      return yield* Effect.fail({ tensor, problem })
    }
    if (found.part === "whole") parts.whole.set(found.leaf, info)
    else parts.factors.set(found.part, info)
  }
  return modules
})
