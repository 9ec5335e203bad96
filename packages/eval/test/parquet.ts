/**
 * A parquet file of the rows { text, n }, written by hand so that the tests need no writer: one row group, plain
 * encoding, required columns (Apache Parquet format 2.9; Thrift compact protocol).
 */

import { brotliCompressSync, gzipSync, zstdCompressSync } from "node:zlib"

type Field = readonly [id: number, type: number, bytes: ReadonlyArray<number>]

const [i32, i64, binary, list, struct] = [5, 6, 8, 9, 12]

const varint = (value: number): ReadonlyArray<number> =>
  value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))]
const integer = (value: number) => varint(value * 2)
const text = (value: string) => {
  const bytes = [...new TextEncoder().encode(value)]
  return [...varint(bytes.length), ...bytes]
}
const record = (fields: ReadonlyArray<Field>): ReadonlyArray<number> => {
  let last = 0
  const bytes = fields.flatMap(([id, type, value]) => {
    const head = ((id - last) << 4) | type
    last = id
    return [head, ...value]
  })
  return [...bytes, 0]
}
const listOf = (type: number, items: ReadonlyArray<ReadonlyArray<number>>) => [
  (items.length << 4) | type,
  ...items.flat(),
]

const little = (value: number, size: number) =>
  Array.from({ length: size }, (_, i) => Math.floor(value / 256 ** i) % 256)

/** How pages are compressed, by the format's number of it. */
const codecs = {
  none: { number: 0, compress: (bytes: Uint8Array): Uint8Array => bytes },
  gzip: { number: 2, compress: (bytes: Uint8Array): Uint8Array => gzipSync(bytes) },
  brotli: { number: 4, compress: (bytes: Uint8Array): Uint8Array => brotliCompressSync(bytes) },
  zstd: { number: 6, compress: (bytes: Uint8Array): Uint8Array => zstdCompressSync(bytes) },
} as const

/** The bytes of a file with these rows. */
export const parquet = (
  rows: ReadonlyArray<{ readonly text: string; readonly n: number }>,
  codec: keyof typeof codecs = "none",
): Uint8Array => {
  const { compress, number } = codecs[codec]
  const magic = [...new TextEncoder().encode("PAR1")]
  const columns = [
    {
      name: "text",
      type: 6,
      data: rows.flatMap((row) => {
        const bytes = [...new TextEncoder().encode(row.text)]
        return [...little(bytes.length, 4), ...bytes]
      }),
    },
    { name: "n", type: 2, data: rows.flatMap(({ n }) => little(n, 8)) },
  ]
  const file: Array<number> = [...magic]
  const chunks = columns.map(({ data, name, type }) => {
    const offset = file.length
    const page = compress(Uint8Array.from(data))
    const header = record([
      [1, i32, integer(0)],
      [2, i32, integer(data.length)],
      [3, i32, integer(page.length)],
      [
        5,
        struct,
        record([
          [1, i32, integer(rows.length)],
          [2, i32, integer(0)],
          [3, i32, integer(3)],
          [4, i32, integer(3)],
        ]),
      ],
    ])
    file.push(...header, ...page)
    const size = header.length + page.length
    const metadata = record([
      [1, i32, integer(type)],
      [2, list, listOf(i32, [integer(0)])],
      [3, list, listOf(binary, [text(name)])],
      [4, i32, integer(number)],
      [5, i64, integer(rows.length)],
      [6, i64, integer(header.length + data.length)],
      [7, i64, integer(size)],
      [9, i64, integer(offset)],
    ])
    return record([
      [2, i64, integer(offset)],
      [3, struct, metadata],
    ])
  })
  const schema = [
    record([
      [4, binary, text("schema")],
      [5, i32, integer(columns.length)],
    ]),
    ...columns.map(({ name, type }) =>
      record([
        [1, i32, integer(type)],
        [3, i32, integer(0)],
        [4, binary, text(name)],
        ...(type === 6 ? [[6, i32, integer(0)] as const] : []),
      ]),
    ),
  ]
  const group = record([
    [1, list, listOf(struct, chunks)],
    [2, i64, integer(file.length)],
    [3, i64, integer(rows.length)],
  ])
  const footer = record([
    [1, i32, integer(2)],
    [2, list, listOf(struct, schema)],
    [3, i64, integer(rows.length)],
    [4, list, listOf(struct, [group])],
  ])
  return Uint8Array.from([...file, ...footer, ...little(footer.length, 4), ...magic])
}
