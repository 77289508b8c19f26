"use strict";
// Sorts the table and the pictures below it by a column, and moves the sliders.

function valueOf(row, column) {
  const cell = row.cells[column];
  return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
}

function compared(a, b) {
  if (typeof a === "string") return a.localeCompare(b, undefined, { numeric: true });
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
  return a === b ? 0 : a < b ? -1 : 1;
}

function sortBy(head) {
  const table = head.closest("table");
  const body = table.tBodies[0];
  const descending = head.getAttribute("aria-sort") === "ascending";
  const rows = [...body.rows];
  rows.sort((a, b) => {
    const order = compared(valueOf(a, head.cellIndex), valueOf(b, head.cellIndex));
    return descending ? -order : order;
  });
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  body.append(...rows);
  const links = rows.map((row) => row.querySelector("a")).filter((link) => link);
  const cards = links.map((link) => document.getElementById(link.hash.slice(1)));
  if (cards.length) cards[0].parentElement.append(...cards);
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sortBy(button.parentElement));
}

function show(range) {
  range.parentElement.style.setProperty("--at", range.value + "%");
}

for (const range of document.querySelectorAll(".compare input")) {
  const box = range.parentElement;
  const moveTo = (event) => {
    const place = box.getBoundingClientRect();
    range.value = (100 * (event.clientX - place.left)) / place.width;
    show(range);
  };
  range.addEventListener("input", () => show(range));
  box.addEventListener("pointerdown", (event) => {
    if (event.button === 0) box.setPointerCapture(event.pointerId);
  });
  box.addEventListener("pointermove", (event) => {
    if (box.hasPointerCapture(event.pointerId)) moveTo(event);
  });
  box.addEventListener("click", (event) => {
    moveTo(event);
    range.focus({ preventScroll: true });
  });
  show(range); // a reload may have kept another place
}
