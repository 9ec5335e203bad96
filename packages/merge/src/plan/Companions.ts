/**
 * What goes with the models of a merge: coefficients by layer and unit, masks, and weight statistics.
 *
 * A recipe names them as files, `merge` has them as values; from here on both are the same.
 */
import type { ArtifactError } from "@hila/core"
import { type SafetensorsError, WeightStatistics } from "@hila/model"
import * as Effect from "effect/Effect"
import { stat } from "node:fs/promises"
import { resolve } from "node:path"
import * as LayerWeights from "../units/LayerWeights.ts"
import * as Mask from "../units/Mask.ts"
import type { RecipeError } from "../MergeError.ts"
import type { Located, Path } from "../recipe/RecipeFile.ts"
import type { Sliced, Source } from "../recipe/Slices.ts"
import type { Residual } from "../units/UnitCoefficients.ts"
import * as UnitWeights from "../units/UnitWeights.ts"

/** A unit table, and what it says of tensors outside every unit. */
export interface UnitTable {
  readonly table: UnitWeights.UnitWeights
  readonly residual: Residual
}

/** Tables in any number, masks and statistics by the place of their model in the recipe. */
export interface Companions {
  readonly layerWeights: ReadonlyArray<LayerWeights.LayerWeights>
  readonly unitWeights: ReadonlyArray<UnitTable>
  readonly mask: (source: Source) => Mask.Mask | undefined
  readonly statistics: (source: Source) => WeightStatistics.WeightStatistics | undefined
  readonly baseStatistics: WeightStatistics.WeightStatistics | undefined
}

/** One or several, as recipes have it. */
const asList = <A>(value: A | ReadonlyArray<A> | null | undefined): ReadonlyArray<A> => {
  if (value == null) return []
  return isList(value) ? value : [value]
}
const isList = <A>(value: A | ReadonlyArray<A>): value is ReadonlyArray<A> => Array.isArray(value)

/** Opens every file that a recipe names beside its models; `directory` is the recipe's. */
export const open = Effect.fnUntraced(function* (
  located: Located,
  { slices }: Sliced,
  directory: string,
): Effect.fn.Return<Companions, RecipeError> {
  const { recipe } = located
  const file = (at: Path, path: string) => locate(located, at, path, directory)
  const opened = <A, E extends ArtifactError | SafetensorsError>(at: Path, effect: Effect.Effect<A, E>) =>
    Effect.mapError(effect, ({ message }) => located.error(at, message))
  const masks = new Map<string, Mask.Mask>()
  const statistics = new Map<string, WeightStatistics.WeightStatistics>()
  for (const source of slices.flatMap((slice) => [
    ...(slice.base === undefined ? [] : [slice.base]),
    ...slice.sources,
  ])) {
    if (source.mask !== undefined) {
      const at = [...source.path, "mask"]
      masks.set(keyOf(source), yield* opened(at, Mask.open(yield* file(at, source.mask))))
    }
    if (source.statistics !== undefined) {
      const at = [...source.path, "statistics"]
      const path = yield* file(at, source.statistics)
      statistics.set(keyOf(source), yield* opened(at, WeightStatistics.open(path)))
    }
  }
  const layerWeights = yield* Effect.forEach(asList(recipe.layer_weights), (path) =>
    Effect.flatMap(file(["layer_weights"], path), (found) =>
      opened(["layer_weights"], LayerWeights.artifact.decode(contentOf(found))),
    ),
  )
  const unitWeights = yield* Effect.forEach(asList(recipe.unit_weights), (given) => {
    const { path, residual } = typeof given === "string" ? { path: given } : given
    const table = Effect.flatMap(file(["unit_weights"], path), (found) =>
      opened(["unit_weights"], UnitWeights.artifact.decode(contentOf(found))),
    )
    return Effect.map(table, (read): UnitTable => ({ table: read, residual: residual ?? "mean" }))
  })
  const ofBase = recipe.base_statistics ?? undefined
  const base = slices[0]?.base
  return {
    layerWeights,
    unitWeights,
    mask: (source) => masks.get(keyOf(source)),
    statistics: (source) => statistics.get(keyOf(source)),
    baseStatistics:
      ofBase === undefined
        ? base === undefined
          ? undefined
          : statistics.get(keyOf(base))
        : yield* opened(["base_statistics"], WeightStatistics.open(yield* file(["base_statistics"], ofBase))),
  }
})

const keyOf = ({ path }: Source) => path.join(" ")

const contentOf = (path: string) => ({ _tag: "File" as const, path, size: 0, digest: "" })

/** A file, looked for from the recipe's directory and from the working directory. */
const locate = Effect.fnUntraced(function* (located: Located, at: Path, path: string, directory: string) {
  const candidates = [...new Set([resolve(directory, path), resolve(path)])]
  for (const candidate of candidates) {
    const found = yield* Effect.promise(() => stat(candidate).catch(() => undefined))
    if (found?.isFile() === true) return candidate
  }
  return yield* located.error(at, `there is no file ${path} (looked for ${candidates.join(" and ")})`)
})
