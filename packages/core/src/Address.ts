/** Addresses of servers: as they are shown, which is without a name and a password that stand in them. */

/** An address for people. What cannot be read as one is shown as that, since nobody knows what is in it. */
export const shown = (url: string): string => {
  if (!URL.canParse(url)) return "an address that cannot be read"
  const parsed = new URL(url)
  if (parsed.username === "" && parsed.password === "") return url
  parsed.username = ""
  parsed.password = ""
  return parsed.href.replace(/\/$/, "")
}

/** Why an address cannot be asked, without what is secret in it; undefined where it can. */
export const problem = (url: string): string | undefined => {
  if (!URL.canParse(url)) return "is not an address such as http://127.0.0.1:8788"
  const { password, protocol, username } = new URL(url)
  if (protocol !== "http:" && protocol !== "https:")
    return `begins with ${protocol}, expected http: or https:`
  return username === "" && password === ""
    ? undefined
    : "has a name or a password in it, which would be seen by everybody who sees the address; give a token by an environment variable"
}

/** Why a token cannot be sent, without the token; undefined where it can. Headers hold visible ASCII alone. */
export const tokenProblem = (token: string): string | undefined =>
  /^[\x21-\x7e]+$/.test(token)
    ? undefined
    : "holds a blank, a line break or another character that cannot be sent; set it again without"
