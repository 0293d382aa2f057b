// what the theme leaves out for readers who use a keyboard or listen
addEventListener("DOMContentLoaded", () => {
  const all = (what, key, value) => document.querySelectorAll(what).forEach((one) => one.setAttribute(key, value));
  all(".caption[role=heading]", "aria-level", "2");
  all("aside.sidebar-drawer", "aria-label", "Pages");
  all("aside.toc-drawer", "aria-label", "On this page");
  all("article pre, article .table-wrapper", "tabindex", "0");
});
