/** Bytes that arrive from elsewhere, up to as many as they may be. */

/** The same chunks; throws once there are more bytes than `most`. */
export async function* limited(
  chunks: AsyncIterable<Uint8Array>,
  most: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  let size = 0
  for await (const chunk of chunks) {
    size += chunk.length
    if (size > most) throw new Error(`more bytes than the ${most} it should be`)
    yield chunk
  }
}

/** The text of at most so many bytes; throws where there are more. */
export const text = async (chunks: AsyncIterable<Uint8Array>, most: number): Promise<string> => {
  const all: Array<Uint8Array> = []
  for await (const chunk of limited(chunks, most)) all.push(chunk)
  return Buffer.concat(all).toString("utf8")
}
