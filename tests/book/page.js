// What is wrong with how a page looks in the window as it is: a list of sentences, empty if nothing is.
() => {
  const found = [];
  const name = (e) =>
    `${e.tagName.toLowerCase()} '${(e.textContent || e.alt || "").trim().replace(/\s+/g, " ").slice(0, 60)}'`;
  const shown = (e) =>
    e.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && !e.closest("mjx-assistive-mml, .visually-hidden");
  const width = document.documentElement.clientWidth;
  const wide = document.documentElement.scrollWidth - width;
  if (wide > 1) found.push(`the page is ${wide} px wider than the window`);

  const article = document.querySelector("article") || document.body;
  for (const e of article.querySelectorAll("*")) {
    const box = e.getBoundingClientRect();
    const formula = e.closest("mjx-container"); // a formula is judged as a whole, by the size of its letters
    if (!shown(e) || !box.width || (formula && e !== formula)) continue;
    const style = getComputedStyle(e);
    // cut at the window, unless something around it cuts it before: then that is named
    let around = e.parentElement;
    while (around && getComputedStyle(around).overflowX === "visible") around = around.parentElement;
    const free = !around || around === document.documentElement || around === document.body;
    if (free && box.right > width + 1) found.push(`beyond the window: ${name(e)}`);
    const inline = style.display === "inline" || e.matches("span.math") || (formula && formula.getAttribute("display") !== "true");
    if (!inline && style.overflowX !== "visible" && e.clientWidth && e.scrollWidth > e.clientWidth + 1)
      found.push(`cut, ${e.scrollWidth} px in ${e.clientWidth}: ${name(e)}`);
    if (formula && inline) {
      const column = e.closest("p, li, dd, dt, td, th, figcaption, div").getBoundingClientRect();
      if (box.right > column.right + 1) found.push(`a formula beyond its column: ${name(e)}`);
    }
    const text = formula || [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.textContent.trim());
    if (text && parseFloat(style.fontSize) < 9) found.push(`text of ${style.fontSize}: ${name(e)}`);
    if (e.matches(".cell_output img")) {
      // the book's smallest print is 8 points, 16 pixels at the 144 dots per inch of viz.style
      const size = (16 * box.width) / e.naturalWidth;
      if (size < 9) found.push(`print of ${size.toFixed(1)} px in a figure: ${name(e)}`);
    }
  }

  const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { parentElement: e, textContent: text } = walker.currentNode;
    if (text.includes("$") && shown(e) && !e.closest("pre, code, script, mjx-container"))
      found.push(`a literal dollar: '${text.trim().slice(0, 60)}'`);
  }
  return found;
}
