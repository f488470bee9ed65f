"use strict";
(() => {
  const make = (name, text, kind) => {
    const node = document.createElement(name);
    node.textContent = text;
    node.className = kind;
    return node;
  };
  const select = (node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    const chosen = getSelection();
    chosen.removeAllRanges();
    chosen.addRange(range);
  };
  for (const line of document.querySelectorAll(".cmd")) {
    const code = line.querySelector("code");
    const button = make("button", "copy", "copy");
    button.type = "button";
    button.setAttribute("aria-label", "Copy the command");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "copied";
      } catch {
        select(code);
        button.textContent = "selected";
      }
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
    line.append(button);
  }
  for (const picture of document.querySelectorAll(".card .pictures")) {
    const [clean, changed] = picture.querySelectorAll("img");
    const caption = changed.nextElementSibling;
    const source = changed.src, text = caption.textContent;
    const flip = (on) => {
      changed.src = on ? clean.src : source;
      caption.textContent = on ? "clean" : text;
    };
    const button = make("button", "hold to compare", "flip");
    button.type = "button";
    for (const name of ["pointerdown", "focus"]) button.addEventListener(name, () => flip(name === "pointerdown"));
    for (const name of ["pointerup", "pointerleave", "blur", "keyup"]) button.addEventListener(name, () => flip(false));
    button.addEventListener("keydown", (event) => { if (event.key === " " || event.key === "Enter") { event.preventDefault(); flip(true); } });
    picture.after(button);
  }
  const cards = [...document.querySelectorAll(".card")];
  const place = document.querySelector(".cards");
  if (cards.length > 3) {
    const label = make("label", "Filter the samples ", "filter");
    const field = document.createElement("input");
    field.type = "search";
    field.placeholder = "class, attack, threat, broken";
    const count = make("output", `${cards.length} shown`, "");
    const more = document.querySelector("details.more");
    field.addEventListener("input", () => {
      if (more) more.open = true;
      const parts = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const card of cards) {
        const known = card.dataset.words.toLowerCase().split(/\s+/);
        card.hidden = !parts.every((part) => known.some((word) => word.startsWith(part)));
        shown += card.hidden ? 0 : 1;
      }
      count.textContent = `${shown} of ${cards.length} shown`;
    });
    label.append(field, count);
    place.before(label);
  }
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const fold of opened) fold.open = true;
  });
  addEventListener("afterprint", () => { for (const fold of opened) fold.open = false; });
})();
