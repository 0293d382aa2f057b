"use strict";
// Tables: sort by a heading, filter rows, copy. The theme. Without scripts everything is visible.
{
  const theme = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const label = () => { theme.textContent = dark() ? "switch to light" : "switch to dark"; };
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    label();
  });
  system.addEventListener("change", label);
  label();
}
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
  figure.querySelector("input")?.addEventListener("input", (event) => {
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
// Tables and figures that go on beyond the window say so, as long as there is more to the right.
{
  const look = (box) => {
    const more = box.scrollWidth - box.clientWidth - box.scrollLeft > 2;
    const said = box.previousElementSibling?.classList.contains("more") ? box.previousElementSibling : null;
    box.toggleAttribute("data-more", more);
    if (box.matches("nav")) return;
    if (more && !said) {
      const note = document.createElement("p");
      note.className = "more"; // over the box, so that nothing moves
      note.textContent = "scroll \u2192";
      box.before(note);
    } else if (said && !more) said.remove();
  };
  const watched = new ResizeObserver((entries) => { for (const entry of entries) look(entry.target); });
  const watch = (root) => {
    for (const box of root.querySelectorAll(".scroll, nav")) {
      box.addEventListener("scroll", () => look(box), { passive: true });
      watched.observe(box);
    }
  };
  watch(document);
  const found = document.getElementById("compare-found");
  if (found) new MutationObserver(() => watch(found)).observe(found, { childList: true });
}
