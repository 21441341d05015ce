// Making and filling elements. Text goes in as text: nothing here, and nothing in the pages, ever parses HTML from data.

// element("td", { class: "number", title: "…" }, "41 ms", another) → an element; null children are left out.
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function drawn(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// A copy of a <template>'s one element, with its [data-is] parts by name.
export function copy(id) {
  const root = document.getElementById(id).content.firstElementChild.cloneNode(true);
  const parts = { root };
  for (const part of [root, ...root.querySelectorAll("[data-is]")]) if (part.dataset.is) parts[part.dataset.is] = part;
  return parts;
}

// Writes only what has changed, so that a selection and a screen reader are left in peace.
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function mark(node, name, value) {
  const text = value === null || value === undefined ? null : String(value);
  if (text === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

// Shows or hides without disturbing what is so already.
export function reveal(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}
