/** The page's style: one column, light and dark by what the reader's system asks for, and fit to be printed. */
export const style = `
:root {
  color-scheme: light dark;
  --ink: #1c2330; --soft: #5b6575; --page: #ffffff; --card: #f6f7f9; --line: #dde1e7;
  --accent: #2166ac; --ran: #e8f0fa; --kept: #eef3ee;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e4e8ee; --soft: #98a2b3; --page: #14181f; --card: #1c222b; --line: #323a46;
    --accent: #7db4ea; --ran: #1e3248; --kept: #1f2c24;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 26px; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 40px 0 12px; padding-top: 12px; border-top: 1px solid var(--line); }
h3 { font-size: 15px; margin: 24px 0 8px; }
p, .note { color: var(--soft); margin: 4px 0 12px; }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { overflow-x: auto; background: var(--card); padding: 12px; border-radius: 6px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 4px 12px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; }
.figure { text-align: right; }
th, td { white-space: nowrap; }
.long { white-space: normal; min-width: 22em; }
figure { margin: 0 0 20px; overflow-x: auto; }
figcaption { font-weight: 600; margin-bottom: 6px; }
details { margin: 8px 0; }
summary { cursor: pointer; color: var(--accent); }
svg { max-width: 100%; height: auto; color: var(--ink); }
svg text:not([fill]) { fill: currentColor; }
.flow rect { stroke: var(--line); }
.flow .ran rect { fill: var(--ran); }
.flow .kept rect { fill: var(--kept); }
.flow .name { font: 600 13px system-ui, sans-serif; }
.flow .note { font: 12px system-ui, sans-serif; fill: var(--soft); }
.flow .edge { fill: none; stroke: var(--soft); stroke-opacity: 0.5; }
@media print { details { display: block; } details > * { display: block; } }
`
