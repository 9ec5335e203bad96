/** Rows of parquet files with Python's kinds of numbers: which are floats is in the file's schema, not in the values. */
import { Parquet } from "@hila/model"
import type { AsyncBuffer, FileMetaData } from "hyparquet"
import { float, isNumber } from "../internal/python.ts"
import type { Row } from "./Template.ts"

type Schema = FileMetaData["schema"]

/** An element of a schema with those below it. */
interface Node {
  readonly name: string
  readonly isFloat: boolean
  readonly children: ReadonlyArray<Node>
}

/** The tree of a schema, which the format lists in depth-first order. */
const treeOf = (schema: Schema): Node => {
  let at = 0
  const next = (): Node => {
    const element = schema[at++]
    const children = Array.from({ length: element?.num_children ?? 0 }, next)
    const isFloat = element?.type === "DOUBLE" || element?.type === "FLOAT"
    return { name: element?.name ?? "", isFloat, children }
  }
  return next()
}

const isRecord = (value: unknown): value is Row =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Parquet's 64-bit integers as numbers, where they are exact as such; bytes as text. */
const plain = (value: unknown, node: Node | undefined): unknown => {
  if (node?.isFloat === true && isNumber(value)) return float(Number(value))
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value
  if (Array.isArray(value)) {
    // A list has its elements two levels down; a repeated field has them at its own.
    const element = node?.children.length === 1 ? (node.children[0]?.children[0] ?? node.children[0]) : node
    return value.map((item) => plain(item, element))
  }
  if (value instanceof Uint8Array) return new TextDecoder().decode(value)
  if (value instanceof Date) return value.toISOString()
  if (!isRecord(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      plain(
        item,
        node?.children.find(({ name }) => name === key),
      ),
    ]),
  )
}

/** The first rows of a file, at most `end`. */
export const read = async (
  file: AsyncBuffer,
  end = Number.POSITIVE_INFINITY,
): Promise<ReadonlyArray<Row>> => {
  const { parquetMetadataAsync, parquetReadObjects } = await import("hyparquet")
  const metadata = await parquetMetadataAsync(file)
  const rowEnd = Math.min(Number(metadata.num_rows), end)
  const { compressors } = Parquet
  const rows = await parquetReadObjects({ file, metadata, rowStart: 0, rowEnd, compressors })
  const tree = treeOf(metadata.schema)
  return rows.map((row) => plain(row, tree) as Row)
}
