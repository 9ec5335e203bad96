/**
 * Masks: which scalars of an expert's task vector stay, one bit each.
 *
 * A mask is one safetensors file: for every tensor that units divide, a U8 tensor of the same name and shape
 * `[rows, ceil(columns / 8)]`, least significant bit first (a vector is a column of rows). The header's metadata holds
 * the kept number of scalars of each unit. The value is a handle; bits are read in chunks of rows.
 */
import { Artifact, ArtifactError, Content, type Figure } from "@hila/core"
import { Safetensors, UnitTable } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** One unit: `kept` of its `size` scalars stay. */
export const Row = Schema.Struct({
  unit: Schema.String,
  kind: UnitTable.Kind,
  layer: Count,
  index: Count,
  size: Count,
  kept: Count,
  /** What the scalars that stay are multiplied by; 1 where it is absent. */
  scale: Schema.optionalKey(Schema.Finite),
})
export type Row = typeof Row.Type

/** What the header's metadata says of a mask. */
export const Description = Schema.Struct({
  scheme: UnitTable.Scheme,
  /** The density that was asked for, of all scalars of all units. */
  density: Schema.Finite,
  units: Schema.Array(Row),
})
export type Description = typeof Description.Type

/** A mask on disk. */
export interface Mask extends Description {
  /** Absolute path. */
  readonly path: string
  readonly tensors: ReadonlyMap<string, Safetensors.TensorInfo>
}

const id = "mask"
const Metadata = Schema.fromJsonString(Description)

/** The metadata of a mask file. */
export const metadata = (description: Description): Effect.Effect<Readonly<Record<string, string>>> =>
  Effect.map(Effect.orDie(Schema.encodeEffect(Metadata)(description)), (text) => ({
    format: "hila-mask/1",
    mask: text,
  }))

/** Opens a mask file: header only; a file that is no mask is an error. */
export const open = Effect.fnUntraced(function* (path: string): Effect.fn.Return<Mask, ArtifactError> {
  const refuse = (problem: string, blame: "input" | "system" = "input") =>
    new ArtifactError({ artifact: id, path, problem: problem.replaceAll(/\s*\n\s*/g, " "), blame })
  const file = yield* Effect.mapError(Safetensors.open(path), (error) => refuse(error.message, error.blame))
  const text = file.metadata["mask"]
  if (text === undefined) return yield* refuse("the header has no metadata named mask")
  const description = yield* Effect.mapError(Schema.decodeEffect(Metadata)(text), (error) =>
    refuse(error.message),
  )
  return { ...description, path: file.path, tensors: file.tensors }
})

const share = (kept: number, size: number) => (size === 0 ? 0 : kept / size)

const summary = ({ units }: Description): string => {
  const [kept, size] = [units.reduce((n, row) => n + row.kept, 0), units.reduce((n, row) => n + row.size, 0)]
  const dropped = units.filter((row) => row.kept === 0).length
  return `keeps ${kept} of ${size} scalars (${share(kept, size).toFixed(3)}), ${dropped} of ${units.length} units dropped`
}

const show = (mask: Description): string =>
  [
    summary(mask),
    ...mask.units.map(({ kept, size, unit }) => `  ${unit.padEnd(24)} ${share(kept, size).toFixed(4)}`),
  ].join("\n")

/** Densities with a line per layer, as a page shows them. */
const densities = ({ density, units }: Description): Figure => {
  const title = ({ index, kind }: Row) => (kind === "mlp" || kind === "layer" ? kind : `${kind} ${index}`)
  const columns = [...new Set(units.map(title))]
  const layers = [...Map.groupBy(units, ({ layer }) => layer)]
  return {
    _tag: "Table",
    title: `Share of each unit's scalars that stay, ${density} over all`,
    head: ["layer", ...columns],
    rows: layers.map(([layer, own]) => [
      String(layer),
      ...columns.map((column) => {
        const row = own.find((each) => title(each) === column)
        return row === undefined ? "" : share(row.kept, row.size).toFixed(3)
      }),
    ]),
    note: "0 is a unit that was dropped.",
  }
}

/** A mask as a file. */
export const artifact: Artifact.Artifact<Mask> = Artifact.make<Mask>({
  id,
  kind: "file",
  encode: ({ path: from }, path) =>
    Effect.mapError(
      Content.link(from, path),
      ({ problem }) => new ArtifactError({ artifact: id, path, problem, blame: "system" }),
    ),
  decode: (content) =>
    content._tag === "File"
      ? open(content.path)
      : Effect.fail(
          new ArtifactError({
            artifact: id,
            path: id,
            problem: "expected a file, got a directory",
            blame: "input",
          }),
        ),
  summary,
  show,
  figures: (mask) => [densities(mask)],
})
