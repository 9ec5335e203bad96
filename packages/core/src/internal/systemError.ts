/** What the operating system means: codes of its errors, and one line for people. */

const reasons: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EADDRINUSE: "the port is in use",
  ECONNREFUSED: "nothing answers there",
  EDQUOT: "the disk quota is used up",
  EEXIST: "exists already",
  EIO: "the disk failed to read or write",
  EISDIR: "is a directory",
  ENOTFOUND: "there is no such host",
  ENOENT: "no such file or directory",
  ENOSPC: "no space left on the device",
  ENOTDIR: "is not a directory",
  EPERM: "operation not permitted",
  EROFS: "the file system is read-only",
}

/** The code of a system error (`"ENOENT"`), or undefined. */
export const codeOf = (cause: unknown): string | undefined =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : undefined

/** What a thrown value says, in one line. */
export const describe = (cause: unknown): string => {
  const code = codeOf(cause)
  const known = code === undefined ? undefined : reasons[code]
  if (known !== undefined) return known
  return (cause instanceof Error ? cause.message : String(cause)).replaceAll("\n", " ")
}
