// Images: filter, enlarge, step with the arrow keys.
{
  const viewer = document.getElementById("viewer");
  let row = [];
  let at = 0;
  const shown = () => row.filter((figure) => !figure.hidden);
  const step = (by) => {
    const figures = shown();
    at = Math.min(Math.max(at + by, 0), figures.length - 1);
    const copy = figures[at].cloneNode(true);
    viewer.querySelector("figure").replaceChildren(copy.querySelector(".trio"), copy.querySelector("figcaption"));
    viewer.querySelector("output").textContent = `${at + 1} of ${figures.length}`;
  };
  viewer.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) { event.preventDefault(); step(by); }
  });
  for (const button of viewer.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => step(Number(button.dataset.step)));
  }
  viewer.querySelector("[data-close]").addEventListener("click", () => viewer.close());
  viewer.addEventListener("close", () => shown()[at]?.querySelector(".open").focus());
  for (const gallery of document.querySelectorAll(".gallery")) {
    const figures = [...gallery.querySelectorAll(".pictures figure")];
    const selects = [...gallery.querySelectorAll("select")];
    const show = () => {
      for (const figure of figures) {
        figure.hidden = selects.some((select) => select.value && figure.dataset[select.dataset.key] !== select.value);
      }
      for (const fold of gallery.querySelectorAll("details")) fold.open ||= selects.some((select) => select.value);
      gallery.querySelector("output").textContent = `${figures.filter((figure) => !figure.hidden).length} shown`;
    };
    for (const select of selects) select.addEventListener("change", show);
    for (const figure of figures) {
      figure.querySelector(".open").addEventListener("click", () => {
        row = figures;
        at = shown().indexOf(figure);
        step(0);
        viewer.showModal();
      });
    }
  }
}
