/** Tables as Markdown, as `hila run` prints what is wide. The first column is text, the others are set flush right. */

/** A table with a line of titles; every row has as many cells as there are titles. */
export const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string =>
  [head, head.map((_, i) => (i === 0 ? "---" : "--:")), ...rows]
    .map((cells) => `| ${cells.join(" | ")} |`)
    .join("\n")
