/**
 * Pictures on a page. A picture is part of a look, and a look may come from a store that others write to: only what draws
 * is let through, nothing that runs or asks a network.
 */

const elements = ["svg", "g", "rect", "circle", "line", "polyline", "path", "text", "tspan", "title"]
const tag = new RegExp(String.raw`^</?(?:${elements.join("|")})((?:\s+[\w:-]+="[^"<>]*")*)\s*/?>$`)
/** Handlers, links and styles; a drawing of ours has none of them. */
const refused = /\s(?:on\w*|(?:xlink:)?href|style|src)=|url\(|javascript:/i

/** Whether an SVG text is a drawing and nothing else. */
export const isDrawing = (svg: string): boolean => {
  const tags = svg.match(/<[^>]*>?/g) ?? []
  return (
    svg.trimStart().startsWith("<svg") &&
    tags.every((each) => {
      const [, attributes] = tag.exec(each) ?? []
      return attributes !== undefined && !refused.test(attributes)
    })
  )
}

/** The picture as it stands on a page; a note in place of what is no drawing. */
export const html = (svg: string): string =>
  isDrawing(svg) ? svg : '<p class="note">This picture holds more than a drawing needs, and is left out.</p>'
