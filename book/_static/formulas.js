/* A formula that is wider than its column is made smaller until it fits: on a phone it would be cut otherwise. */
(() => {
  const natural = new WeakMap(); // the size that MathJax gave it, which suits the text
  const fit = () => {
    for (const formula of document.querySelectorAll("mjx-container")) {
      if (!natural.has(formula)) natural.set(formula, formula.style.fontSize);
      formula.style.fontSize = natural.get(formula);
      const displayed = formula.getAttribute("display") === "true";
      const column = displayed ? formula : formula.closest("p, li, dd, dt, td, th, figcaption, div");
      const width = displayed ? formula.scrollWidth : formula.getBoundingClientRect().width;
      if (column.clientWidth && width > column.clientWidth) {
        const size = (parseFloat(getComputedStyle(formula).fontSize) * column.clientWidth) / width;
        formula.style.fontSize = `${Math.floor(size * 10) / 10}px`;
      }
    }
  };
  const start = () => {
    const ready = window.MathJax?.startup?.promise;
    if (!ready) return;
    ready.then(() => {
      fit();
      window.addEventListener("resize", fit);
      // folded text has no width until it is opened
      document.addEventListener("click", () => setTimeout(fit, 400));
      document.addEventListener("toggle", fit, true);
    });
  };
  window.addEventListener("load", start);
})();
