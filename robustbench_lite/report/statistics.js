// The statistics of paired samples, as measure.py has them; a test compares the two.
const statistics = {
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
  /** The mean with its 95 % percentile bootstrap interval; the same numbers give the same interval. */
  bootstrap(values, resamples = 2000) {
    const n = values.length;
    const mean = values.reduce((sum, value) => sum + value, 0) / n;
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
    return { mean, low: quantile(0.025), high: quantile(0.975), n };
  },
};
