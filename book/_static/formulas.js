/* A displayed formula that is wider than its column is made smaller until it fits: on a phone it would be cut otherwise. */
(() => {
  const fit = () => {
    for (const formula of document.querySelectorAll('mjx-container[display="true"]')) {
      formula.style.fontSize = "";
      const share = formula.clientWidth / formula.scrollWidth;
      if (share < 1) {
        const size = parseFloat(getComputedStyle(formula).fontSize);
        formula.style.fontSize = `${Math.floor(size * share * 10) / 10}px`;
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
