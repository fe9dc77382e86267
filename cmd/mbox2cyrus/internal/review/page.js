"use strict";
// Sorting: a click on a column's name. Numbers are in data-n where the text is for people.
for (const table of document.querySelectorAll("table.sorts")) {
  const body = table.tBodies[0];
  table.tHead.rows[0].querySelectorAll("th").forEach((th, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = th.textContent;
    th.replaceChildren(button);
    button.addEventListener("click", () => {
      const number = th.classList.contains("n");
      const down = th.hasAttribute("aria-sort") ? th.getAttribute("aria-sort") === "ascending" : number;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      th.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = row => { const cell = row.cells[column]; return number ? Number(cell.dataset.n ?? cell.textContent.replaceAll("\u202f", "")) : cell.textContent; };
      const compare = number ? (a, b) => a[0] - b[0] : (a, b) => a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
      const rows = Array.from(body.rows, row => [key(row), row]).sort(compare);
      if (down) rows.reverse();
      body.append(...rows.map(r => r[1]));
    });
  });
}
// Filtering: words of a user's row, and his state.
const filter = document.getElementById("filter");
if (filter) {
  filter.hidden = false;
  const words = filter.querySelector("input"), state = filter.querySelector("select"), shown = filter.querySelector("output");
  const rows = Array.from(document.getElementById("users").tBodies[0].rows, row => [row, row.textContent.toLowerCase(), row.dataset.state]);
  const apply = () => {
    const want = words.value.toLowerCase();
    let n = 0;
    for (const [row, text, is] of rows) {
      const show = text.includes(want) && (state.value === "" || state.value === is);
      row.hidden = !show;
      if (show) n++;
    }
    const people = n => n.toLocaleString("en").replaceAll(",", "\u202f"); // as in the page's tables
    shown.textContent = people(n) + " of " + people(rows.length) + " shown";
  };
  words.addEventListener("input", apply);
  state.addEventListener("change", apply);
  apply();
}
