"use strict";
// Tables: sort by a heading, filter rows, copy. Images: filter. Without scripts everything is visible.
for (const figure of document.querySelectorAll("figure.table")) {
  const body = figure.querySelector("tbody");
  const heads = [...figure.querySelectorAll("thead th")];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => {
      const cell = row.cells[column];
      return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
    };
    const order = (a, b) => typeof a === "number" && typeof b === "number" ? a - b
      : typeof a === "number" ? -1 : typeof b === "number" ? 1 : a.localeCompare(b);
    const rows = [...body.rows].sort((a, b) => (down ? -1 : 1) * order(key(a), key(b)));
    body.append(...rows);
  }));
  figure.querySelector("input").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    for (const row of body.rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
  for (const button of figure.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const text = figure.querySelector(`template[data-style="${button.dataset.copy}"]`).content.textContent;
      const label = button.textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "copied";
      } catch {
        const area = document.createElement("textarea");
        area.value = text;
        document.body.append(area);
        area.select();
        button.textContent = document.execCommand("copy") ? "copied" : "not allowed here";
        area.remove();
      }
      setTimeout(() => { button.textContent = label; }, 1500);
    });
  }
}
for (const gallery of document.querySelectorAll(".gallery")) {
  const selects = [...gallery.querySelectorAll("select")];
  const show = () => {
    let count = 0;
    for (const figure of gallery.querySelectorAll(".pictures figure")) {
      figure.hidden = selects.some((select) => select.value && figure.dataset[select.dataset.key] !== select.value);
      count += figure.hidden ? 0 : 1;
    }
    gallery.querySelector("output").textContent = `${count} shown`;
  };
  for (const select of selects) select.addEventListener("change", show);
}
