/**
 * Importance-guided pruning: keeps the part of an expert's task vector that matters, as a mask.
 *
 * Important units keep more. How many scalars a unit keeps is `Density`, which ones is `Sparsifier`: by default those of
 * largest magnitude |W_t − W_0|. The weights stay where they are; `fuse` and `merge` apply the mask.
 */
import { at, entry, known } from "@hila/core/Lookup"
import type { Checkpoint, Unit, UnitTable } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Density from "./Density.ts"
import * as MaskFile from "./MaskFile.ts"
import * as UnitMask from "./UnitMask.ts"
import * as Engine from "../engine/Engine.ts"
import type { TensorPlan } from "../engine/Plan.ts"
import { untyped } from "../methods/Definition.ts"
import type { OutputTensor } from "../plan/Plan.ts"
import * as Mask from "../units/Mask.ts"
import * as Region from "../units/Region.ts"
import type * as Sparsifier from "./Sparsifier.ts"
import * as UnitCheck from "../units/UnitCheck.ts"

/** Options of `prune`; see `Density` for their ranges. */
export interface PruneParams extends Density.DensityParams {
  /** Which scalars of a unit stay; `"magnitude"` by default. What the random ones keep is scaled by 1/ρ of its unit. */
  readonly sparsifier?: Sparsifier.Sparsifier | undefined
  /** Of the random ones; an integer, 0 by default. */
  readonly seed?: number | undefined
  /** Scalars per chunk and model, and threads that compute, as in a merge; the result depends on neither. */
  readonly chunk?: number | undefined
  readonly threads?: number | undefined
}

const method = "prune"

/**
 * The mask of an expert's task vector, written as a new file `path`.
 *
 * Keeps exactly `budgetOf(density, scalars of all units)` scalars; tensors outside every unit are not masked. Inside a
 * unit ties go to the lowest index, in the order of the unit's slices and row by row in each. Fails when the table is
 * not of these models or the density cannot be reached.
 */
export const prune = Effect.fn("prune")(function* (
  inputs: {
    readonly base: Checkpoint.Checkpoint
    readonly expert: Checkpoint.Checkpoint
    readonly importance: UnitTable.UnitTable
  },
  params: PruneParams,
  path: string,
) {
  const { base, expert, importance } = inputs
  const participants = [
    { role: "base", checkpoint: base },
    { role: "expert", checkpoint: expert },
  ] as const
  const { named, preparedOf } = yield* Effect.promise(() => import("../Merge.ts"))
  // What is pruned is what task arithmetic would add up: the same tensors, by the same names, after the same checks.
  const { tensors } = yield* named(
    method,
    preparedOf({ base, models: [expert] }, { method: "task_arithmetic" }),
  )
  const { units } = yield* UnitCheck.partition(method, importance.scheme, participants)
  const scheme = { expected: importance.scheme, got: importance.scheme }
  yield* UnitCheck.matches(method, "importance", scheme, importance.rows, units)
  const kept = yield* Density.allocate(importance.rows, params)
  const { chunk, seed = 0, sparsifier = "magnitude" } = params
  const description: Mask.Description = {
    scheme: importance.scheme,
    density: params.density,
    units: units.map(({ id, index, kind, layer, size }, at) => ({
      unit: id,
      kind,
      layer,
      index,
      size,
      kept: known(kept[at]).kept,
      ...(sparsifier === "magnitude" || known(kept[at]).kept === 0 || known(kept[at]).kept === size
        ? {}
        : { scale: size / known(kept[at]).kept }),
    })),
  }

  const planned = new Map(tensors.map((tensor) => [tensor.name, tensor]))
  const work = layersOf(units, kept).flatMap((layer) => tensorsOf(layer, planned, { sparsifier, seed }))
  yield* MaskFile.write(
    path,
    {
      metadata: yield* Mask.metadata(description),
      tensors: work.map(({ name, shape }) => {
        const { columns, rows } = Region.gridOf(shape)
        return { name, dtype: "U8" as const, shape: [rows, Region.maskStride(columns)] }
      }),
    },
    (write) => Effect.scoped(Engine.stream({ method, tensors: work, chunk, threads: params.threads }, write)),
  )
  return yield* Mask.open(path)
})

/** The units of one layer, how many scalars each keeps, and what share of it. */
interface Layer {
  readonly name: string
  readonly units: ReadonlyArray<Unit.Unit>
  readonly keep: ReadonlyArray<number>
  readonly density: ReadonlyArray<number>
}

const layersOf = (
  units: ReadonlyArray<Unit.Unit>,
  kept: ReadonlyArray<Density.Allocation>,
): ReadonlyArray<Layer> =>
  [...Map.groupBy(units.entries(), ([, unit]) => unit.layer)].map(([layer, entries]) => {
    const keep = entries.map(([at]) => known(kept[at]).kept)
    return {
      name: String(layer),
      units: entries.map(([, unit]) => unit),
      keep,
      density: entries.map(([, { size }], index) => (size === 0 ? 0 : at(keep, index) / size)),
    }
  })

/** The tensors that a layer's units share, in the order in which their slices name them, as work of the engine. */
const tensorsOf = (
  { density, keep, name: layer, units }: Layer,
  planned: ReadonlyMap<string, OutputTensor>,
  draw: Pick<UnitMask.Params, "seed" | "sparsifier">,
): ReadonlyArray<TensorPlan> =>
  [...UnitCheck.slicesByTensor(units)].map(([name, slices]) => {
    const { base, dtype, models, shape } = entry(planned, name)
    const parts = slices.map(({ slice: { axis, end, start }, unit }) => ({ axis, end, start, unit }))
    const params: UnitMask.Params = { layer, parts, keep, density, ...draw }
    return { name, dtype, shape, base, models, method: untyped(UnitMask.method), params, bits: true }
  })
