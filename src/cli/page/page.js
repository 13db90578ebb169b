"use strict";

const KINDS = ["added", "modified", "deleted", "wasted"];
const HEADER = 18;
const DEPTH = 3;

function formatBytes(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  let shown = bytes;
  while (unit < units.length - 1 && (unit === 0 ? shown >= 1000 : Math.round(shown * 10) >= 10000)) {
    shown /= 1000;
    unit += 1;
  }
  return (unit === 0 ? String(shown) : shown.toFixed(1)) + " " + units[unit];
}

function count(number, word) {
  return number.toLocaleString("en") + " " + word + (number === 1 ? "" : "s");
}

/* Lays out areas, largest first, as rectangles that are as square as possible (Bruls, Huizing, van Wijk). */
function squarify(areas, x, y, width, height) {
  const sum = areas.reduce((all, area) => all + area, 0);
  const places = [];
  if (!(sum > 0) || !(width > 0) || !(height > 0)) {
    return areas.map(() => ({ x, y, width: 0, height: 0 }));
  }
  const scale = (width * height) / sum;
  let next = 0;
  while (next < areas.length) {
    const side = Math.min(width, height);
    let end = next;
    let row = 0;
    let worst = Infinity;
    while (end < areas.length) {
      const area = areas[end] * scale;
      const total = row + area;
      const thickness = total / side;
      const first = (areas[next] * scale) / thickness;
      const last = area / thickness;
      const ratio = Math.max(first / thickness, thickness / Math.max(last, 1e-9));
      if (end > next && ratio > worst) break;
      worst = ratio;
      row = total;
      end += 1;
    }
    const thickness = side > 0 ? Math.min(row / side, Math.max(width, height)) : 0;
    let offset = 0;
    for (; next < end; next += 1) {
      const length = thickness > 0 ? (areas[next] * scale) / thickness : 0;
      places.push(width < height
        ? { x: x + offset, y, width: length, height: thickness }
        : { x, y: y + offset, width: thickness, height: length });
      offset += length;
    }
    if (width < height) {
      y += thickness;
      height = Math.max(0, height - thickness);
    } else {
      x += thickness;
      width = Math.max(0, width - thickness);
    }
  }
  return places;
}

/* Turns the rows of a layer into nodes whose children are sorted by size. */
function readLayer(rows) {
  const nodes = rows.map((row, id) => ({
    id, parent: row[0], name: row[1], added: row[2], modified: row[3], deleted: row[4], wasted: row[5], files: row[6],
    area: row[2] + row[3] + row[4], children: [],
  }));
  for (const node of nodes) {
    if (node.id > 0) nodes[node.parent].children.push(node);
    if (node.name === null) node.name = "other (" + count(node.files, "file") + ")";
  }
  for (const node of nodes) node.children.sort((a, b) => b.area - a.area);
  return nodes;
}

function kindOf(node) {
  if (node.wasted * 2 > node.area) return "wasted";
  const largest = Math.max(node.added, node.modified, node.deleted);
  return KINDS.find((kind) => node[kind] === largest) || "added";
}

function amounts(node) {
  const parts = KINDS.filter((kind) => node[kind] > 0).map((kind) => formatBytes(node[kind]) + " " + kind);
  return parts.join(", ") || "nothing";
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

class Viewer {
  constructor(root, image) {
    this.root = root;
    this.image = image;
    this.index = Number(root.dataset.image);
    this.kinds = root.dataset.kinds.split(" ");
    this.steps = [...document.querySelectorAll("a[data-step='" + this.index + "']")];
    this.map = root.querySelector(".map");
    this.status = root.querySelector(".status");
    this.trail = root.querySelector("nav");
    this.up = root.querySelector(".up");
    this.rows = root.querySelector("tbody");
    this.caption = root.querySelector("caption");
    this.layers = [];
    this.layer = Number(root.dataset.layer);
    this.node = 0;
    root.hidden = false;
    this.up.addEventListener("click", () => this.leave());
    this.map.addEventListener("click", (event) => this.press(event));
    this.map.addEventListener("keydown", (event) => this.key(event));
    this.map.addEventListener("pointerover", (event) => this.point(event));
    new ResizeObserver(() => this.resize()).observe(this.map);
    this.draw();
  }

  title() {
    return this.image.title || "Layer " + this.layer;
  }

  nodes() {
    if (!this.layers[this.layer]) this.layers[this.layer] = readLayer(this.image.layers[this.layer]);
    return this.layers[this.layer];
  }

  current() {
    return this.nodes()[this.node];
  }

  /* Shows a directory of a layer. */
  show(layer, node, focus) {
    if (!this.image.layers[layer]) return;
    const from = this.layer === layer ? this.node : -1;
    this.layer = layer;
    this.node = this.nodes()[node] ? node : 0;
    this.draw();
    if (focus) this.focus(from);
  }

  /* Focuses the tile that leads back down to `from`, else the first. */
  focus(from) {
    let tile = null;
    for (let at = from; at > 0 && !tile; at = this.nodes()[at].parent) {
      if (this.nodes()[at].parent === this.node) tile = this.tile(at);
    }
    tile = tile || this.map.querySelector(".tile");
    (tile || this.up).focus();
  }

  tile(id) {
    return [...this.map.children].find((tile) => tile.dataset.node === String(id));
  }

  open(id) {
    let node = this.nodes()[id];
    if (node.children.length === 0 && node.parent !== this.node) node = this.nodes()[node.parent];
    if (node.children.length > 0) {
      this.wantsFocus = true;
      location.hash = "files-" + this.index + "-" + this.layer + "-" + node.id;
    } else {
      this.tell(node);
    }
  }

  leave() {
    if (this.node > 0) this.open(this.current().parent);
  }

  press(event) {
    const tile = event.target.closest("[data-node]");
    if (tile) this.open(Number(tile.dataset.node));
  }

  point(event) {
    const tile = event.target.closest("[data-node]");
    if (tile) tile.title = this.describe(this.nodes()[Number(tile.dataset.node)]);
  }

  key(event) {
    const tiles = [...this.map.querySelectorAll(":scope > .tile")];
    const at = tiles.indexOf(document.activeElement);
    const moves = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: tiles.length - 1 };
    if (event.key in moves && at >= 0) {
      const next = tiles[Math.min(Math.max(moves[event.key], 0), tiles.length - 1)];
      tiles[at].tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
      this.tell(this.nodes()[Number(next.dataset.node)]);
    } else if (event.key === "Escape" || event.key === "Backspace") {
      this.leave();
    } else {
      return;
    }
    event.preventDefault();
  }

  path(node) {
    const parts = [];
    for (let at = node; at.id > 0; at = this.nodes()[at.parent]) parts.unshift(at.name);
    return "/" + parts.join("/");
  }

  describe(node) {
    const files = node.children.length > 0 ? " in " + count(node.files, "file") : "";
    return this.path(node) + files + ": " + amounts(node);
  }

  tell(node) {
    this.status.textContent = this.title() + ", " + this.describe(node);
  }

  resize() {
    const { width, height } = this.map.getBoundingClientRect();
    if (this.map.classList.contains("empty") || (width === this.width && height === this.height)) return;
    const active = this.map.contains(document.activeElement) ? document.activeElement.dataset.node : undefined;
    this.drawMap();
    const tile = active && this.tile(active);
    if (tile) tile.focus();
  }

  draw() {
    for (const step of this.steps) {
      if (Number(step.dataset.layer) === this.layer) step.setAttribute("aria-current", "true");
      else step.removeAttribute("aria-current");
    }
    this.drawTrail();
    this.drawMap();
    this.drawTable();
    this.tell(this.current());
  }

  drawTrail() {
    this.trail.replaceChildren();
    const parts = [];
    for (let at = this.current(); at.id > 0; at = this.nodes()[at.parent]) parts.unshift(at);
    parts.unshift(this.nodes()[0]);
    for (const node of parts) {
      const name = node.id === 0 ? this.title().toLowerCase() : node.name;
      if (node.id === this.node) {
        const last = element("span", "", name);
        last.setAttribute("aria-current", "location");
        this.trail.append(last);
        continue;
      }
      const step = element("span");
      const button = element("button", "", name);
      button.type = "button";
      button.addEventListener("click", () => this.open(node.id));
      step.append(button);
      this.trail.append(step);
    }
    this.up.disabled = this.node === 0;
  }

  drawMap() {
    const node = this.current();
    this.map.replaceChildren();
    this.map.classList.toggle("empty", node.area === 0);
    if (node.area === 0) {
      this.map.textContent = "No bytes: only directories, links, empty files or other metadata.";
      return;
    }
    const { width, height } = this.map.getBoundingClientRect();
    this.width = width;
    this.height = height;
    const files = this.image.title || "Files of layer " + this.layer;
    this.map.setAttribute("aria-label", files + " in " + this.path(node) + " by size");
    this.place(this.map, node, 0, 0, width, height, 0);
    const first = this.map.querySelector(".tile");
    if (first) first.tabIndex = 0;
  }

  place(parent, node, x, y, width, height, depth) {
    const children = node.children.filter((child) => child.area > 0);
    const places = squarify(children.map((child) => child.area), x, y, width, height);
    children.forEach((child, at) => {
      const place = places[at];
      const [w, h] = [place.width - 1, place.height - 1];
      const isTop = depth === 0;
      if (w < 3 || h < 3) return;
      const isOpen = child.children.length > 0 && depth + 1 < DEPTH && w > 48 && h > 44;
      const tile = element(isTop ? "button" : "span", "tile " + (isOpen ? "directory" : kindOf(child)));
      tile.dataset.node = child.id;
      tile.style.left = place.x + "px";
      tile.style.top = place.y + "px";
      tile.style.width = w + "px";
      tile.style.height = h + "px";
      const name = child.name + (child.children.length > 0 ? "/" : "");
      if (isTop) {
        tile.type = "button";
        tile.tabIndex = -1;
        tile.setAttribute("aria-label", this.describe(child));
      }
      if (w > 26 && h > 15) tile.append(element("b", "", isOpen ? name + "  " + formatBytes(child.area) : name));
      if (w > 52 && h > 32 && !isOpen) tile.append(element("i", "", formatBytes(child.area)));
      if (w > 60 && h > 48 && !isOpen && kindOf(child) !== "added") tile.append(element("i", "", kindOf(child)));
      if (isOpen) this.place(tile, child, 2, HEADER, w - 5, h - HEADER - 4, depth + 1);
      parent.append(tile);
    });
  }

  drawTable() {
    const node = this.current();
    this.caption.textContent = this.title() + ": " + this.path(node);
    const rows = node.children.map((child) => {
      const row = element("tr");
      const name = element("th", "path");
      name.scope = "row";
      if (child.children.length > 0) {
        const link = element("a", "", child.name + "/");
        link.href = "#files-" + this.index + "-" + this.layer + "-" + child.id;
        name.append(link);
      } else {
        name.textContent = child.name;
      }
      row.append(name);
      for (const kind of this.kinds) row.append(element("td", "number", child[kind] > 0 ? formatBytes(child[kind]) : ""));
      row.append(element("td", "number", child.files.toLocaleString("en")));
      return row;
    });
    this.rows.replaceChildren(...rows);
  }
}

const data = JSON.parse(document.getElementById("data").textContent);
const viewers = [...document.querySelectorAll("[data-image]")].map((root) => new Viewer(root, data.images[Number(root.dataset.image)]));

/* The address says what is shown, so that the browser's way back works. */
function follow() {
  if (location.hash === "") viewers.forEach((viewer) => viewer.show(Number(viewer.root.dataset.layer), 0, false));
  const parts = /^#files-(\d+)-(\d+)(?:-(\d+))?$/.exec(location.hash);
  const viewer = parts && viewers[Number(parts[1])];
  if (!viewer) return;
  const section = viewer.root.closest("details");
  if (section) section.open = true;
  const focus = viewer.wantsFocus || viewer.map.contains(document.activeElement);
  viewer.wantsFocus = false;
  viewer.show(Number(parts[2]), Number(parts[3] || 0), focus);
  viewer.root.scrollIntoView({ block: "nearest" });
}

addEventListener("hashchange", follow);
follow();
