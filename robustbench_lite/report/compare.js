// Comparing what the reader chooses: paired differences, flips, classes, sizes and confusions, from the page's own rows.
if (document.getElementById("compare")) {
  const MOST = { classes: 30, flips: 24, confusions: 4 };
  const rows = JSON.parse(document.getElementById("compare-rows").textContent);
  const section = document.getElementById("compare");
  const [key, reference, found] = ["key", "reference", "found"].map((id) => document.getElementById(`compare-${id}`));
  const boxes = [...section.querySelectorAll("input[type=checkbox]")];
  const names = [...reference.options].map((option) => option.textContent);

  const make = (tag, properties = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in element) element[name] = value; else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  };
  const decoded = new Map();
  const numbers = (place, kind) => {
    if (!decoded.has(place)) {
      const text = atob(rows.arrays[place]);
      decoded.set(place, new kind(Uint8Array.from(text, (c) => c.charCodeAt(0)).buffer));
    }
    return decoded.get(place);
  };
  const read = (cell) => {
    const kind = cell.width === 1 ? Uint8Array : Uint16Array;
    const [label, clean, pred] = [numbers(cell.label, Uint16Array), numbers(cell.clean, kind), numbers(cell.pred, kind)];
    return {
      ids: atob(rows.sets[cell.set]).split(" "), label, clean, pred,
      robust: Array.from(label, (own, i) => Number(clean[i] === own && pred[i] === own)),
      pictures: cell.pictures,
      size: cell.size === undefined ? null : numbers(cell.size, Float32Array),
    };
  };
  const pairs = (a, b) => {
    const places = new Map(b.ids.map((id, i) => [id, i]));
    return a.ids.flatMap((id, i) => (places.has(id) ? [[i, places.get(id)]] : []));
  };
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const signed = (value, digits) => (value < 0 ? "" : "+") + value.toFixed(digits);
  const interval = (e, scale, digits) => e.low === null ? signed(scale * e.mean, digits) : `${signed(scale * e.mean, digits)} [${signed(scale * e.low, digits)}, ${signed(scale * e.high, digits)}]`;
  const called = (label) => (rows.classes[rows.keys[key.value].dataset] ?? [])[label] ?? String(label);

  const grid = (title, heads, lines, kind = "") => make("figure", {}, make("figcaption", { textContent: title }),
    make("div", { className: "scroll", tabIndex: 0, role: "group", "aria-label": title }, make("table", { className: kind },
      make("thead", {}, make("tr", {}, ...heads.map((text) => (text === "" ? make("td")
        : make("th", { scope: "col", className: kind ? "" : "number", textContent: text }))))),
      make("tbody", {}, ...lines.map(([head, ...cells]) => make("tr", {}, make("th", { scope: "row", textContent: head }),
        ...cells.map((cell) => make("td", typeof cell === "object" ? cell : { textContent: cell, className: "number" }))))))));

  const shade = (share) => `h${Math.round(10 * share)}`;
  const frequent = (labels) => {
    const counts = new Map();
    for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
    const kept = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, MOST.classes);
    return { counts, kept: kept.map(([label]) => label).sort((a, b) => a - b), cut: counts.size > MOST.classes };
  };

  const sized = (values) => {
    const found = statistics.size(values);
    if (found.value === Infinity) return "half or more never broken";
    if (Number.isNaN(found.value)) return "—";
    return `${found.statistic === "median" ? "median " : ""}${found.value.toPrecision(3)}`;
  };
  const sizeChange = (first, second) => {
    if ([first, second].some((values) => statistics.size(values).statistic === "median")) {
      const { larger, smaller, p } = statistics.signs(second, first);
      return `larger on ${larger}, smaller on ${smaller}, p ${p < 0.001 ? "< 0.001" : `= ${p.toPrecision(2)}`} (signs)`;
    }
    const change = second.flatMap((value, i) => (Number.isFinite(value) && Number.isFinite(first[i]) ? [value - first[i]] : []));
    return interval(statistics.bootstrap(change), 1, 4);
  };

  const share = (values) => {
    const { low, high } = statistics.wilson(values.reduce((sum, value) => sum + value, 0), values.length);
    return `${(100 * mean(values)).toFixed(1)} [${(100 * low).toFixed(1)}, ${(100 * high).toFixed(1)}]`;
  };
  const differences = (base, others) => {
    const minimal = base.size !== null;
    const size = (cell, places) => sized(places.map((i) => cell.size[i]));
    const head = ["", "n", "robust % [95 % interval]", "difference, points", "lost", "won", "p (McNemar)"];
    const own = [`${base.name} (reference)`, base.ids.length, share(base.robust), "", "", "", ""];
    if (minimal) { head.push("rho", "difference, rho"); own.push(size(base, base.ids.map((_, i) => i)), ""); }
    const lines = others.map((other) => {
      const both = pairs(base, other);
      if (both.length === 0) return [other.name, 0, ...Array(head.length - 2).fill("—")];
      const lost = both.filter(([i, j]) => base.robust[i] && !other.robust[j]).length;
      const won = both.filter(([i, j]) => !base.robust[i] && other.robust[j]).length;
      const p = statistics.mcnemar(lost, won);
      const points = statistics.bootstrap(both.map(([i, j]) => other.robust[j] - base.robust[i]));
      const line = [other.name, both.length, share(both.map(([, j]) => other.robust[j])),
        interval(points, 100, 1), lost, won, p < 0.001 ? "< 0.001" : p.toPrecision(2)];
      if (minimal) {
        const [first, second] = [both.map(([i]) => base.size[i]), both.map(([, j]) => other.size[j])];
        line.push(size(other, both.map(([, j]) => j)), sizeChange(first, second));
      }
      return line;
    });
    return grid(`Differences to the reference, [95 % paired bootstrap interval]${minimal ? "; rho: below 99 % success the median, failures as infinite" : ""}`, head, [own, ...lines]);
  };

  const picture = (place, title, said, wrong) => make("span", {},
    make("img", { src: `data:image/png;base64,${rows.pictures[place]}`, width: 72, height: 72, alt: `${title}: ${said}` }),
    make("small", {}, make("b", { textContent: title }), make("span", { textContent: said, className: wrong ? "doubted" : "" })));
  const sample = (base, i, other, j) => {
    const [own, others] = [base.pictures[i], other.pictures[j]];
    const [truth, before, after] = [called(base.label[i]), called(base.pred[i]), called(other.pred[j])];
    const said = `${truth}: ${before} for ${base.name}, ${after} for ${other.name}`;
    if (!own || !others) return make("li", { textContent: `${said} (no image is stored)`, title: base.ids[i] });
    return make("li", { title: base.ids[i] }, make("span", { className: "trio" }, picture(own[0], "before", truth, false),
      picture(own[1], base.name, before, base.pred[i] !== base.label[i]), picture(others[1], other.name, after, other.pred[j] !== other.label[j])));
  };
  const flips = (base, others) => {
    const list = (title, both, other) => make("div", {}, make("p", { textContent: `${title}: ${both.length}` }), make("ul", { className: "flips" },
      ...[...both].sort((a, b) => Boolean(base.pictures[b[0]]) - Boolean(base.pictures[a[0]])).slice(0, MOST.flips)
        .map(([i, j]) => sample(base, i, other, j)),
      ...(both.length > MOST.flips ? [make("li", { textContent: `and ${both.length - MOST.flips} more` })] : [])));
    return make("details", {}, make("summary", { textContent: "which samples flipped" }), ...others.flatMap((other) => {
      const both = pairs(base, other);
      return [
        list(`right for ${base.name}, wrong for ${other.name}`, both.filter(([i, j]) => base.robust[i] && !other.robust[j]), other),
        list(`wrong for ${base.name}, right for ${other.name}`, both.filter(([i, j]) => !base.robust[i] && other.robust[j]), other),
      ];
    }));
  };

  const classes = (cells) => {
    const { counts, kept, cut } = frequent(cells[0].label);
    const lines = kept.map((label) => [`${called(label)} (n=${counts.get(label)})`, ...cells.map((cell) => {
      const own = cell.robust.filter((_, i) => cell.label[i] === label);
      return own.length ? { textContent: (100 * mean(own)).toFixed(0), className: shade(mean(own)) } : "—";
    })]);
    const part = cut ? ` (the ${MOST.classes} most frequent of ${counts.size})` : "";
    return grid(`Robust accuracy per class, %${part}`, ["", ...cells.map((cell) => cell.name)], lines, "heat");
  };
  const sizes = (cells) => {
    const { counts, kept, cut } = frequent(cells[0].label);
    const part = cut ? ` (the ${MOST.classes} most frequent of ${counts.size})` : "";
    return grid(`Rho per class${part}`, ["", ...cells.map((cell) => cell.name)],
      kept.map((label) => [`${called(label)} (n=${counts.get(label)})`, ...cells.map((cell) => {
        return sized([...cell.size].filter((_, i) => cell.label[i] === label));
      })]));
  };

  const confusion = (cell) => {
    const { kept, cut } = frequent([...cell.label, ...cell.pred]);
    const lines = kept.map((label) => {
      const own = [...cell.pred].filter((_, i) => cell.label[i] === label);
      return [called(label), ...kept.map((to) => {
        const count = own.filter((prediction) => prediction === to).length;
        return { textContent: count || "", className: shade(own.length ? count / own.length : 0) };
      })];
    });
    const title = `${cell.name}: true class (row) and prediction on the adversarial image (column), counts`;
    return grid(title + (cut ? `; the ${MOST.classes} most frequent classes` : ""), ["", ...kept.map(called)], lines, "heat");
  };

  const draw = (tag, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const distribution = (cells) => {
    const [width, height, left, right, bottom] = [620, 250, 58, 20, 36];
    const sorted = cells.map((cell) => Float64Array.from([...cell.size].filter(Number.isFinite)).sort());
    const top = rows.keys[key.value].top; // the same for whatever is chosen
    const [px, py] = [(x) => left + (width - left - right) * x / top, (share) => 10 + (height - bottom - 10) * (1 - share)];
    const title = "Share of samples broken against rho";
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", class: "chart", "aria-label": title });
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      svg.append(draw("line", { x1: left, x2: width - right, y1: py(share), y2: py(share), class: "grid" }),
        draw("text", { x: left - 6, y: py(share) + 4, class: "tick", "text-anchor": "end" }, `${100 * share} %`),
        draw("text", { x: px(share * top), y: height - 18, class: "tick", "text-anchor": "middle" }, (share * top).toPrecision(2)));
    }
    cells.forEach((cell, i) => {
      const n = cell.ids.length;
      const points = [[0, 0], ...Array.from(sorted[i], (size, k) => [[size, k / n], [size, (k + 1) / n]]).flat()];
      svg.append(draw("polyline", {
        points: points.map(([x, y]) => `${px(x).toFixed(1)},${py(y).toFixed(1)}`).join(" "), fill: "none",
        stroke: rows.palette[i % 8], "stroke-width": 2, "stroke-dasharray": rows.dashes[Math.floor(i / 4) % 4],
      }));
    });
    const legend = make("ul", { className: "legend" }, ...cells.map((cell, i) => {
      const line = draw("svg", { width: 28, height: 8, "aria-hidden": "true" });
      line.append(draw("line", { x1: 0, x2: 28, y1: 4, y2: 4, stroke: rows.palette[i % 8], "stroke-width": 3, "stroke-dasharray": rows.dashes[Math.floor(i / 4) % 4] }));
      return make("li", {}, line, ` ${cell.name}`);
    }));
    const quantile = (i, share) => sorted[i][Math.ceil(share * cells[i].ids.length) - 1]?.toPrecision(3) ?? "never";
    return make("div", {}, make("figure", {}, make("figcaption", { textContent: title }),
      make("div", { className: "scroll", tabIndex: 0, role: "group", "aria-label": title }, svg), legend,
      make("details", {}, make("summary", { textContent: "data" }), grid("Rho at which so many samples are broken",
        ["", "10 %", "50 %", "90 %"], cells.map((cell, i) => [cell.name, ...[0.1, 0.5, 0.9].map((q) => quantile(i, q))])))));
  };

  const show = () => {
    const cells = new Map(rows.cells.filter((cell) => cell.key === Number(key.value)).map((cell) => [cell.entry, cell]));
    for (const option of reference.options) option.disabled = !cells.has(Number(option.value));
    if (reference.selectedOptions[0]?.disabled ?? true) reference.value = String(Math.min(...cells.keys()));
    for (const box of boxes) {
      box.disabled = !cells.has(Number(box.value)) || box.value === reference.value;
      box.parentElement.classList.toggle("off", box.disabled);
    }
    const usable = boxes.filter((box) => !box.disabled);
    if (!usable.some((box) => box.checked)) usable[0].checked = true;
    const chosen = [Number(reference.value), ...usable.filter((box) => box.checked).map((box) => Number(box.value))];
    const columns = chosen.map((entry) => ({ name: names[entry], ...read(cells.get(entry)) }));
    const [base, ...others] = columns;
    const confusions = columns.slice(0, MOST.confusions).map(confusion);
    found.replaceChildren(differences(base, others), flips(base, others),
      ...(base.size ? [make("div", { className: "side" }, distribution(columns), sizes(columns))] : [make("details", {}, make("summary", { textContent: "robust accuracy per class" }), classes(columns))]),
      make("details", {}, make("summary", { textContent: "what was taken for what" }), make("div", { className: "side" }, ...confusions)));
  };
  for (const control of [key, reference, ...boxes]) control.addEventListener("change", show);
  show();
}
