/**
 * Moments in texts of JSON: where every text of a column is a date, with or without a time, the reference harness's loader
 * makes moments of them, which templates print as `2020-01-01 00:00:00`.
 */

const written =
  /^(\d{4})-(\d\d)-(\d\d)(?:[ T]([01]\d|2[0-3])(?::([0-5]\d)(?::([0-5]\d))?)?(?:Z|([+-])(\d\d)(?::?(\d\d))?)?)?$/

/** A moment as Python prints it, in universal time; nothing where the text is none. */
export const read = (text: string): string | undefined => {
  const found = written.exec(text)
  if (found === null) return undefined
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = found
    .slice(1, 7)
    .map((digits) => Number(digits ?? 0))
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined
  const [, , , , , , , sign, hours = "0", minutes = "0"] = found
  const offset = (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes))
  date.setUTCHours(hour, minute - offset, second)
  return date.toISOString().slice(0, 19).replace("T", " ")
}
