"use strict";
(() => {
  const form = document.getElementById("filter");
  const rows = [...document.querySelectorAll("tr[data-status]")];
  const said = document.getElementById("shown");
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const apply = () => {
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kind = form.elements.kind.value;
    const chosen = new Set([...form.querySelectorAll("input[type=checkbox]:checked")].map((box) => box.value));
    let shown = 0;
    rows.forEach((row, place) => {
      const fits = chosen.has(row.dataset.status) && (!kind || row.dataset.kind === kind);
      row.hidden = !(fits && words.every((word) => texts[place].includes(word)));
      shown += !row.hidden;
    });
    said.textContent = `${shown} of ${rows.length} shown`;
  };
  if (form && rows.length) {
    form.hidden = false;
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(apply));
    const open = document.getElementById("open");
    open.addEventListener("click", () => {
      const closed = open.getAttribute("aria-pressed") !== "true";
      rows.forEach((row) => row.querySelectorAll("details").forEach((part) => { part.open = closed; }));
      open.setAttribute("aria-pressed", String(closed));
    });
    apply();
  }
  const reveal = () => {
    const found = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!found) return;
    if (found.hidden && form) { form.reset(); }
    const part = found.querySelector(":scope details");
    if (part && found.tagName === "TR") { part.open = true; }
  };
  addEventListener("hashchange", reveal);
  reveal();
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((part) => { part.open = true; });
    rows.forEach((row) => { row.dataset.hidden = row.hidden; row.hidden = false; });
  });
  addEventListener("afterprint", () => {
    opened.forEach((part) => { part.open = false; });
    rows.forEach((row) => { row.hidden = row.dataset.hidden === "true"; });
  });
})();
