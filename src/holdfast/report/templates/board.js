"use strict";
(() => {
  const tabs = [...document.querySelectorAll("section.tab")];
  const links = [...document.querySelectorAll("nav.tabs a")];
  const tables = [...document.querySelectorAll("table.ranking")];
  const original = new Map(tables.map((table) => [table, [...table.tBodies[0].rows]]));
  const read = () => {
    const found = new URLSearchParams(location.hash.slice(1));
    const tab = tabs.findIndex((one) => one.id === location.hash.slice(1) || one.dataset.tab === found.get("tab"));
    const [sort, way] = (found.get("sort") || "").split(/:(?=(?:up|down)$)/);
    return { tab: Math.max(tab, 0), sort, way: way === "up" ? "up" : "down", filter: found.get("filter") || "" };
  };
  const write = (change) => {
    const state = { ...read(), ...change };
    const told = new URLSearchParams();
    if (tabs.length > 1) told.set("tab", tabs[state.tab].dataset.tab);
    if (state.sort) told.set("sort", `${state.sort}:${state.way}`);
    if (state.filter) told.set("filter", state.filter);
    history.replaceState(null, "", `#${told}`);
    show();
  };
  const value = (row, place, number) => {
    const cell = row.cells[place];
    if (!number) return cell.textContent.trim().toLowerCase();
    return cell.dataset.value === "" ? null : Number(cell.dataset.value);
  };
  const order = (table, sort, way) => {
    const heads = [...table.tHead.rows[0].cells];
    const place = heads.findIndex((head) => head.dataset.name === sort);
    const rows = [...original.get(table)];
    for (const head of heads) head.removeAttribute("aria-sort");
    if (place >= 0) {
      const number = heads[place].dataset.kind === "number";
      const sign = way === "up" ? 1 : -1;
      rows.sort((a, b) => {
        const [x, y] = [value(a, place, number), value(b, place, number)];
        if (x === y) return 0;
        if (x === null || y === null) return x === null ? 1 : -1;
        return x < y ? -sign : sign;
      });
      heads[place].setAttribute("aria-sort", way === "up" ? "ascending" : "descending");
    }
    table.tBodies[0].append(...rows);
    return rows;
  };
  const show = () => {
    const state = read();
    tabs.forEach((tab, place) => { tab.hidden = place !== state.tab; });
    links.forEach((link, place) => {
      if (place === state.tab) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
    if (field.value !== state.filter) field.value = state.filter;
    const parts = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0, all = 0;
    for (const table of tables) {
      const here = !table.closest("section").hidden;
      for (const row of order(table, state.sort, state.way)) {
        const text = row.textContent.toLowerCase();
        row.hidden = !parts.every((part) => text.includes(part));
        all += here ? 1 : 0;
        shown += here && !row.hidden ? 1 : 0;
      }
    }
    count.textContent = `${shown} of ${all} rows`;
  };
  for (const table of tables) {
    for (const head of table.tHead.rows[0].cells) {
      head.dataset.name = head.textContent.trim();
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.textContent = head.dataset.name;
      button.addEventListener("click", () => {
        const state = read(), first = head.dataset.kind === "number" && head.dataset.name !== "band" ? "down" : "up";
        const again = state.sort === head.dataset.name;
        const last = again && state.way !== first;
        write({ sort: last ? "" : head.dataset.name, way: again ? (first === "up" ? "down" : "up") : first });
      });
      head.replaceChildren(button);
    }
  }
  const label = document.createElement("label");
  label.className = "filter";
  label.append("Filter the rows ");
  const field = document.createElement("input");
  field.type = "search";
  field.placeholder = "model, run, trust, refuted";
  field.addEventListener("input", () => write({ filter: field.value }));
  const count = document.createElement("output");
  label.append(field, count);
  document.querySelector("nav.tabs").after(label);
  links.forEach((link, place) => link.addEventListener("click", (event) => { event.preventDefault(); write({ tab: place }); }));
  document.querySelector("nav.tabs").hidden = tabs.length < 2;
  addEventListener("hashchange", show);
  addEventListener("beforeprint", () => { for (const tab of tabs) tab.hidden = false; });
  addEventListener("afterprint", show);
  show();
})();
