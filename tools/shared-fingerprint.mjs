// Prints one line that changes when the reference material beside the repository appears, goes or changes,
// so that a cached test result never stands for another state of it. Names and sizes only: reading it all is slow.
import { createHash } from "node:crypto"
import { existsSync, readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../../shared/", import.meta.url))

const entries = (directory, prefix) =>
  readdirSync(directory, { withFileTypes: true })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const name = prefix + entry.name
      if (entry.isDirectory()) return entries(join(directory, entry.name), `${name}/`)
      return entry.isFile() ? [`${name} ${statSync(join(directory, entry.name)).size}`] : []
    })

if (existsSync(root)) {
  const lines = entries(root, "")
  console.log(lines.length, createHash("sha256").update(lines.join("\n")).digest("hex"))
} else {
  console.log("absent")
}
