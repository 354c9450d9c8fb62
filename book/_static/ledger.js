/* The filters of the ledger. Without this script its whole table shows. */
document.addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector("form.ledger-filter");
  const table = document.querySelector("table.ledger-rows");
  if (!form || !table) return;
  const rows = [...table.querySelectorAll("tr[data-verdict]")];
  const show = () => {
    const chosen = [...form.querySelectorAll("select")].filter((s) => s.value);
    let n = 0;
    for (const row of rows) {
      row.hidden = !chosen.every((s) => row.dataset[s.name] === s.value);
      n += !row.hidden;
    }
    for (const group of table.tBodies) group.hidden = !group.querySelector("tr[data-verdict]:not([hidden])");
    form.querySelector("output").textContent = `${n} of ${rows.length} rows`;
  };
  form.addEventListener("change", show);
  form.addEventListener("reset", () => setTimeout(show));
  form.addEventListener("submit", (event) => event.preventDefault());
  // a link to a row that is filtered away shows all again
  window.addEventListener("hashchange", () => {
    if (document.getElementById(location.hash.slice(1))?.hidden) {
      form.reset();
      setTimeout(() => document.getElementById(location.hash.slice(1)).scrollIntoView());
    }
  });
  form.hidden = false;
  show();
});
