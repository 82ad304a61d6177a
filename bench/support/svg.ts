/** Line plots as SVG text, enough for a report. */
export interface Series {
  name: string
  /** x ascending; points that are not finite are left out. */
  points: Array<[x: number, y: number]>
}

export interface Plot {
  title: string
  x: string
  y: string
  series: Series[]
}

const width = 800
const height = 360
const margin = { left: 70, right: 20, top: 40, bottom: 50 }
const colours = ['#1f77b4', '#d62728', '#2ca02c', '#9467bd', '#ff7f0e', '#8c564b']

/** One plot; y starts at 0, so that a growth is seen in proportion. */
export function linePlot(plot: Plot): string {
  const series = plot.series.map(({ name, points }) => ({
    name,
    points: points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y))
  }))
  const all = series.flatMap(({ points }) => points)
  const xs = all.map(([x]) => x)
  const xMin = Math.min(...xs, Number.POSITIVE_INFINITY)
  const xLow = Number.isFinite(xMin) ? xMin : 0
  const xTicks = ticks(xLow, Math.max(...xs, xLow + 1e-9))
  const yTicks = ticks(0, Math.max(...all.map(([, y]) => y), 1e-9))
  const xHigh = Math.max(xTicks.at(-1)!, ...xs)
  const yHigh = yTicks.at(-1)!
  const across = (x: number) =>
    margin.left + ((x - xLow) / (xHigh - xLow || 1)) * (width - margin.left - margin.right)
  const up = (y: number) => height - margin.bottom - (y / yHigh) * (height - margin.top - margin.bottom)
  const round = (value: number) => Math.round(value * 10) / 10

  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    text(width / 2, 20, plot.title, 'middle', 15),
    text(width / 2, height - 12, plot.x, 'middle'),
    text(14, 28, plot.y, 'start')
  ]
  for (const tick of yTicks) {
    const y = round(up(tick))
    parts.push(`<line x1="${margin.left}" x2="${width - margin.right}" y1="${y}" y2="${y}" stroke="#ddd"/>`)
    parts.push(text(margin.left - 6, y + 4, label(tick), 'end'))
  }
  for (const tick of xTicks.filter(tick => tick >= xLow && tick <= xHigh)) {
    parts.push(text(round(across(tick)), height - margin.bottom + 18, label(tick), 'middle'))
  }
  series.forEach(({ name, points }, i) => {
    const colour = colours[i % colours.length]!
    const path = points.map(([x, y]) => `${round(across(x))},${round(up(y))}`).join(' ')
    parts.push(`<polyline fill="none" stroke="${colour}" stroke-width="1.5" points="${path}"/>`)
    const x = margin.left + 10 + i * 150
    parts.push(`<rect x="${x}" y="${margin.top - 8}" width="10" height="10" fill="${colour}"/>`)
    parts.push(text(x + 15, margin.top + 1, name, 'start'))
  })
  parts.push('</svg>')
  return parts.join('\n')
}

/** Round numbers (1, 2 or 5 times a power of ten apart) from at or below `low` to at or above `high`. */
export function ticks(low: number, high: number, about = 6): number[] {
  const rough = (high - low) / about
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].map(factor => factor * power).find(candidate => candidate >= rough * 0.999)!
  const found: number[] = []
  for (let i = Math.floor(low / step); ; i++) {
    found.push(Number((i * step).toPrecision(12)))
    if (i * step >= high) return found
  }
}

function label(value: number): string {
  return Math.abs(value) >= 10_000 ? `${Number((value / 1000).toPrecision(6))}k` : String(value)
}

function text(x: number, y: number, content: string, anchor: string, size?: number): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
  return `<text x="${x}" y="${y}" text-anchor="${anchor}"${size ? ` font-size="${size}"` : ''}>${escaped}</text>`
}
