// The statistics of paired samples, as measure.py has them; a test compares the two.
const statistics = {
  ENOUGH: 0.99, // share of successes from which a mean size says something
  FEWEST: 10, // samples below which a mean has no interval
  /** Exact two-sided p-value of McNemar's test on the pairs that changed, either way. */
  mcnemar(lost, won) {
    const n = lost + won;
    let log = -n * Math.LN2;
    let tail = 0;
    for (let k = 0; k <= Math.min(lost, won); k++) {
      tail += Math.exp(log);
      log += Math.log((n - k) / (k + 1));
    }
    return Math.min(1, 2 * tail);
  },
  /** The ends of a share's 95 % Wilson interval. */
  wilson(count, n) {
    const [z, share] = [1.959963984540054, count / n];
    const middle = (share + z * z / (2 * n)) / (1 + z * z / n);
    const half = (z / (1 + z * z / n)) * Math.sqrt(share * (1 - share) / n + z * z / (4 * n * n));
    return { low: Math.max(0, middle - half), high: Math.min(1, middle + half) };
  },
  /** The same of pairs of sizes: larger or smaller; equal ones, both infinite too, have no say. */
  signs(first, second) {
    const larger = first.filter((value, i) => value > second[i]).length;
    const smaller = first.filter((value, i) => value < second[i]).length;
    return { larger, smaller, p: statistics.mcnemar(larger, smaller) };
  },
  /** The share of the normal law below z (Marsaglia's series). */
  normal(z) {
    if (Math.abs(z) > 8) return z < 0 ? 0 : 1;
    let [sum, term] = [z, z];
    for (let i = 3; Math.abs(term) > 1e-17; i += 2) { term *= z * z / i; sum += term; }
    return 0.5 + sum * Math.exp(-z * z / 2) / Math.sqrt(2 * Math.PI);
  },
  /** Where that share is reached. */
  deviate(share) {
    let [low, high] = [-8, 8];
    for (let i = 0; i < 60; i++) {
      const middle = (low + high) / 2;
      if (statistics.normal(middle) < share) low = middle; else high = middle;
    }
    return low;
  },
  /** A normal deviate as wide as Student's t is for n samples (Hesterberg 2015; Cornish and Fisher's expansion). */
  widened(z, n) {
    const free = n - 1;
    const t = z + (z ** 3 + z) / (4 * free) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * free ** 2)
      + (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * free ** 3);
    return t * Math.sqrt(n / free);
  },
  /** The mean with its 95 % bootstrap interval (BCa), null below ten values; the same numbers give the same interval. */
  bootstrap(values, resamples = 2000) {
    const n = values.length;
    const total = values.reduce((sum, value) => sum + value, 0);
    const mean = total / n;
    if (n < statistics.FEWEST) return { mean, low: null, high: null, n };
    let state = 1;
    const draw = () => { // mulberry32
      state = (state + 0x6D2B79F5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    const means = Float64Array.from({ length: resamples }, () => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum += values[Math.floor(draw() * n)];
      return sum / n;
    }).sort();
    const quantile = (share) => {
      const place = share * (resamples - 1);
      const low = Math.floor(place);
      return means[low] + (place - low) * (means[Math.min(low + 1, resamples - 1)] - means[low]);
    };
    const below = means.reduce((sum, value) => sum + (value < mean ? 1 : value === mean ? 0.5 : 0), 0) / resamples;
    const z = statistics.widened(statistics.deviate(0.975), n);
    const ends = [-z, z];
    if (below <= 0 || below >= 1) { // every resample is the same
      const [low, high] = ends.map((end) => quantile(statistics.normal(end)));
      return { mean, low, high, n };
    }
    const gaps = values.map((value) => (value - mean) / (n - 1)); // the jackknife's, of the mean
    const spread = gaps.reduce((sum, gap) => sum + gap ** 2, 0);
    const speed = spread > 0 ? gaps.reduce((sum, gap) => sum + gap ** 3, 0) / (6 * spread ** 1.5) : 0;
    const bias = statistics.deviate(below);
    const [low, high] = ends.map((end) => quantile(statistics.normal(bias + (bias + end) / (1 - speed * (bias + end)))));
    return { mean, low, high, n };
  },
  /** The size of perturbations, infinite where the attack failed: a mean from 99 % success on, else the median. */
  size(values) {
    const reached = values.filter(Number.isFinite);
    if (values.length && reached.length >= statistics.ENOUGH * values.length) {
      return { statistic: "mean", value: reached.reduce((sum, value) => sum + value, 0) / reached.length };
    }
    const sorted = Float64Array.from(values).sort();
    const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
    return { statistic: "median", value: sorted.length ? (low === high ? low : (low + high) / 2) : NaN };
  },
};
