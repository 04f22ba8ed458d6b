// What every script of a page needs: requests that say the session's value, and elements made of text.
const meta = document.querySelector("meta[name=csrf]");

/** Ask for `path`; what changes something says the value that only pages of this session know. */
export function ask(path, options = {}) {
  const headers = new Headers(options.headers);
  if (meta) headers.set("X-CSRF-Token", meta.content);
  return fetch(path, { ...options, headers });
}

/** JSON from `path`. Throws an Error with what the service says is wrong. */
export async function json(path, options = {}) {
  const answer = await ask(path, { ...options, headers: { Accept: "application/json", ...options.headers } });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(reasons(body) || `the service answered ${answer.status}`);
  return body;
}

/** What a problem says, for a person. */
export function reasons(problem) {
  const rules = (problem.errors || []).map((each) => `${each.field} ${each.rule}`);
  return rules.join("; ") || problem.detail || problem.title || "";
}

/** An element of `tag` with attributes and children; text stays text. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** A table of `rows` under `columns`; those in `right` hold numbers. */
export function table(caption, columns, rows, right = []) {
  const kind = (index) => (right.includes(index) ? { class: "number" } : {});
  const cells = (row) => row.map((cell, index) => make("td", kind(index), cell));
  return make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": caption },
    make("table", {},
      make("caption", { class: "unseen" }, caption),
      make("thead", {}, make("tr", {}, ...columns.map((name, index) => make("th", { scope: "col", ...kind(index) }, name)))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...cells(row))))));
}

/** A count with a suffix: 61.7k. */
export function count(value) {
  for (const [suffix, factor] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (value >= factor * 0.9995) return `${Number((value / factor).toPrecision(3))}${suffix}`;
  }
  return String(Number(value.toPrecision(3)));
}
