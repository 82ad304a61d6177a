import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { FixedHistogram, type HistogramSnapshot } from '../../engine/histogram.js'
import {
  type CounterName,
  type Definition,
  definitions,
  type GaugeName,
  type HistogramName,
  type MetricName,
  metricNames
} from './definitions.js'

export type Labels = Record<string, string>
/** One line of a metric. */
export interface Sample {
  labels: Labels
  value: number
}
export interface Series {
  labels: Labels
  histogram: HistogramSnapshot
}

/** Where the values of metrics come from that are not counted here but looked up when somebody asks. */
export interface Sources {
  counters: Partial<Record<CounterName, () => Sample[]>>
  gauges: Partial<Record<GaugeName, () => Sample[]>>
  histograms: Partial<Record<HistogramName, () => Series[]>>
}

/** The metrics of definitions.ts under their names, as prom-client has them. */
export class MetricsRegistry {
  readonly #registry = new Registry()
  readonly #counters = new Map<string, Counter>()
  readonly #series = new Map<string, Array<{ labels: Labels; histogram: FixedHistogram }>>()

  /** @param prefix of all names but those that every exporter uses */
  constructor(
    readonly prefix: string,
    sources: Sources
  ) {
    for (const name of metricNames) this.#define(name, sources)
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** Prometheus text format. */
  text(): Promise<string> {
    return this.#registry.metrics()
  }

  count(name: CounterName, labels: Labels = {}, by = 1): void {
    this.#counters.get(name)?.inc(labels, by)
  }

  /** The series of a histogram with these labels, to be kept by whoever observes often. */
  histogram(name: HistogramName, labels: Labels): FixedHistogram {
    const buckets = (definitions[name] as Definition).buckets ?? []
    const histogram = new FixedHistogram(buckets)
    this.#series.get(name)?.push({ labels, histogram })
    return histogram
  }

  #define(name: MetricName, sources: Sources): void {
    const { type, help, labels, plain }: Definition = definitions[name]
    const common = {
      name: plain ? name : this.prefix + name,
      help,
      labelNames: [...labels],
      registers: [this.#registry]
    }
    if (type === 'gauge') {
      const read = sources.gauges[name as GaugeName] ?? (() => [])
      new Gauge({
        ...common,
        collect() {
          this.reset()
          for (const sample of read()) this.set(sample.labels, sample.value)
        }
      })
    } else if (type === 'counter') {
      const read = sources.counters[name as CounterName]
      if (!read) this.#counters.set(name, new Counter(common))
      else {
        new Counter({
          ...common,
          collect() {
            this.reset()
            for (const sample of read()) this.inc(sample.labels, sample.value)
          }
        })
      }
    } else {
      const own: Array<{ labels: Labels; histogram: FixedHistogram }> = []
      this.#series.set(name, own)
      const read =
        sources.histograms[name as HistogramName] ??
        (() => own.map(({ labels, histogram }) => ({ labels, histogram: histogram.snapshot() })))
      new CountedHistogram(common, read)
    }
  }
}

/** A histogram whose buckets are counted elsewhere: in FixedHistograms, or in an engine process. */
class CountedHistogram extends Histogram {
  readonly #config: { name: string; help: string }
  readonly #read: () => Series[]

  constructor(config: ConstructorParameters<typeof Histogram>[0], read: () => Series[]) {
    super(config)
    this.#config = config
    this.#read = read
  }

  /** What prom-client asks a metric for, also through its own `get`. */
  async getForPromString() {
    const { name, help } = this.#config
    return {
      name,
      help,
      type: 'histogram',
      aggregator: 'sum',
      values: this.#read().flatMap(series => this.#lines(series))
    }
  }

  #lines({ labels, histogram }: Series) {
    const { bounds, counts, sum } = histogram
    const { name } = this.#config
    let count = 0
    const buckets = counts.map((inBucket, i) => {
      count += inBucket
      return { metricName: `${name}_bucket`, labels: { ...labels, le: bounds[i] ?? '+Inf' }, value: count }
    })
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: sum },
      { metricName: `${name}_count`, labels, value: count }
    ]
  }
}
