/**
 * Importance-guided pruning: keeps the part of an expert's task vector that matters, as a mask.
 *
 * Important units keep more. How many scalars a unit keeps is `Density`, which ones is `Sparsifier`: by default those of
 * largest magnitude |W_t − W_0|. The weights stay where they are; `fuse` and `merge` apply the mask.
 */
import { at, entry, known } from "@hila/core/Lookup"
import { type Checkpoint, SafetensorsWriter, type Unit, type UnitTable } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Density from "./Density.ts"
import { kernels } from "../kernels/Reference.ts"
import type { OutputTensor } from "../plan/Plan.ts"
import * as Mask from "../units/Mask.ts"
import { MergeError } from "../MergeError.ts"
import * as Region from "../units/Region.ts"
import * as Selection from "./Selection.ts"
import * as Sparsifier from "./Sparsifier.ts"
import * as TensorStream from "./TensorStream.ts"
import * as UnitCheck from "../units/UnitCheck.ts"

/** Options of `prune`; see `Density` for their ranges. */
export interface PruneParams extends Density.DensityParams {
  /** Which scalars of a unit stay; `"magnitude"` by default. What the random ones keep is scaled by 1/ρ of its unit. */
  readonly sparsifier?: Sparsifier.Sparsifier | undefined
  /** Of the random ones; an integer, 0 by default. */
  readonly seed?: number | undefined
  /** Scalars per chunk and model; the result does not depend on it. */
  readonly chunk?: number | undefined
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
  const layers = layersOf(units, planned, kept)
  const keys = { sparsifier, seed }
  let current: Layer | undefined
  yield* SafetensorsWriter.write(path, {
    metadata: yield* Mask.metadata(description),
    tensors: layers.flatMap((layer) =>
      layer.tensors.map(({ name, shape }) => {
        const { columns, rows } = Region.gridOf(shape)
        return { name, dtype: "U8" as const, shape: [rows, Region.maskStride(columns)] }
      }),
    ),
    data: Effect.fnUntraced(function* ({ name }, write) {
      const layer = known(layers.find(({ names }) => names.has(name)))
      if (layer !== current) {
        current = layer
        yield* select(layer, keys, chunk)
      }
      yield* eachDelta(entry(planned, name), chunk, (rows, delta) => {
        const mask = new Uint8Array(rows.rows * Region.maskStride(rows.columns))
        for (const { density, selection, region } of layer.regions(name, rows)) {
          Sparsifier.overwrite(sparsifier, seed, name, rows, region, density, delta)
          Selection.mark(selection, mask, delta, rows.columns, region)
        }
        return write(mask)
      })
    }),
  })
  return yield* Mask.open(path)
})

/** The units of one layer, and the tensors they share in the order in which their slices name them. */
interface Layer {
  readonly names: ReadonlySet<string>
  readonly tensors: ReadonlyArray<OutputTensor>
  /** The selections that a run of rows of a tensor counts for, each with its region. */
  readonly regions: (
    tensor: string,
    rows: Region.Rows,
  ) => ReadonlyArray<{
    readonly selection: Selection.Selection
    readonly region: Region.Region
    readonly density: number
  }>
  /** Counters of the units; made anew for each layer's turn and dropped after it. */
  selections: ReadonlyArray<Selection.Selection>
  readonly start: () => ReadonlyArray<Selection.Selection>
}

const layersOf = (
  units: ReadonlyArray<Unit.Unit>,
  planned: ReadonlyMap<string, OutputTensor>,
  kept: ReadonlyArray<Density.Allocation>,
): ReadonlyArray<Layer> => {
  const byLayer = Map.groupBy(units.entries(), ([, unit]) => unit.layer)
  return [...byLayer.values()].map((entries): Layer => {
    const slices = UnitCheck.slicesByTensor(entries.map(([, unit]) => unit))
    const densities = entries.map(([at, { size }]) => (size === 0 ? 0 : known(kept[at]).kept / size))
    const layer: Layer = {
      names: new Set(slices.keys()),
      tensors: [...slices.keys()].map((name) => entry(planned, name)),
      selections: [],
      start: () => entries.map(([at]) => Selection.make(known(kept[at]).kept)),
      regions: (tensor, rows) =>
        entry(slices, tensor).map(({ slice, unit }) => ({
          selection: at(layer.selections, unit),
          region: Region.within(rows, slice),
          density: at(densities, unit),
        })),
    }
    return layer
  })
}

/** Finds the threshold of every unit of a layer, in two passes over its tensors. */
const select = Effect.fnUntraced(function* (
  layer: Layer,
  { seed, sparsifier }: { readonly sparsifier: Sparsifier.Sparsifier; readonly seed: number },
  chunk: number | undefined,
) {
  layer.selections = layer.start()
  const pass = (count: typeof Selection.countCoarse) =>
    Effect.forEach(
      layer.tensors,
      (tensor) =>
        eachDelta(tensor, chunk, (rows, delta) =>
          Effect.sync(() => {
            const { name } = tensor
            for (const { density, region, selection } of layer.regions(name, rows)) {
              Sparsifier.overwrite(sparsifier, seed, name, rows, region, density, delta)
              count(selection, delta, rows.columns, region)
            }
          }),
        ),
      { discard: true },
    )
  yield* pass(Selection.countCoarse)
  for (const selection of layer.selections) Selection.closeCoarse(selection)
  yield* pass(Selection.countFine)
  for (const selection of layer.selections) Selection.closeFine(selection)
})

/** Streams expert − base of a tensor, in f32. */
const eachDelta = Effect.fnUntraced(function* <E, R>(
  { base, models, name, shape }: OutputTensor,
  chunk: number = TensorStream.defaultChunk,
  use: (rows: Region.Rows, delta: Float32Array) => Effect.Effect<void, E, R>,
) {
  for (const rows of TensorStream.split(Region.gridOf(shape), chunk)) {
    const { values } = yield* TensorStream.readChunk(base === undefined ? models : [base, ...models], rows)
    const [from, to] = values
    const delta = new Float32Array(rows.rows * rows.columns)
    kernels.subtract(delta, known(to), known(from))
    if (kernels.firstOutside(delta, Infinity) !== -1) {
      const problem = "expert − base is not finite: one of them has NaN or infinite weights"
      return yield* new MergeError({ method, input: "weights of the models", tensor: name, problem })
    }
    yield* use(rows, delta)
  }
})
