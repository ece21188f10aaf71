// Tables whose rows can be added and taken away. Without this their empty rows do for adding, and an
// emptied row is left out.
(() => {
  "use strict";
  const FIELDS = "input, select, textarea";

  const add = (table, pattern) => {
    const row = pattern.cloneNode(true);
    table.querySelector("[data-row-list]").append(row);
    row.querySelector(FIELDS).focus();
  };

  const remove = (table, row) => {
    const near = row.nextElementSibling || row.previousElementSibling;
    row.remove();
    (near || table).querySelector(near ? FIELDS : "[data-add-row]").focus();
  };

  const tend = (table) => {
    if (table.dataset.tended) return;
    table.dataset.tended = "yes";
    const blanks = table.querySelectorAll("[data-blank]");
    const pattern = blanks[0].cloneNode(true);
    for (const blank of blanks) blank.remove();
    for (const button of table.querySelectorAll("[data-add-row], [data-remove-row]")) {
      button.hidden = false;
    }
    pattern.querySelector("[data-remove-row]").hidden = false;
    table.addEventListener("click", (event) => {
      if (event.target.closest("[data-add-row]")) add(table, pattern);
      const removing = event.target.closest("[data-remove-row]");
      if (removing) remove(table, removing.closest("[data-row]"));
    });
  };

  const find = (scope) => {
    if (scope.matches && scope.matches("[data-rows]")) tend(scope);
    for (const table of scope.querySelectorAll("[data-rows]")) tend(table);
  };
  find(document);
  document.addEventListener("htmx:load", (event) => find(event.detail.elt));
})();
