// Draws a picture (see picture.py) with vis-network into `frame` and calls `onPick` with the name of a clicked node or
// edge. All texts are data: labels are drawn on the canvas, everything else is set as text.
function drawPicture(frame, picture, onPick) {
  const ink = getComputedStyle(frame).color;
  const [red, green, blue] = (ink.match(/\d+(\.\d+)?/g) || [0, 0, 0]).map(Number);
  const isDark = red + green + blue > 384;
  const shade = (color) => (isDark && picture.dark[color]) || color;

  const element = (tag, name, text) => {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (text) made.textContent = text;
    return made;
  };
  frame.classList.add("iv-graph");
  const legend = element("div", "legend");
  for (const entry of picture.legend) {
    const line = element("span", "", entry.label);
    line.style.setProperty("--color", shade(entry.color));
    legend.append(line);
  }
  const tools = element("div", "tools");
  const canvas = element("div", "canvas");
  canvas.style.height = `${picture.height}px`;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", picture.alt);
  frame.replaceChildren(legend, tools, canvas);

  const colored = (part) => {
    const color = shade(part.color);
    return { ...part, color: { color, background: color, border: color, highlight: ink, hover: ink } };
  };
  const nodes = picture.nodes.map((node) => {
    if (node.shape !== "text") return { ...colored(node), color: nodeColor(shade(node.color), ink) };
    const color = node.font ? shade(node.font.color) : ink;
    return { ...node, color: undefined, font: { color, size: 15 } };
  });
  const edges = picture.edges.map(colored);
  const network = new vis.Network(canvas, { nodes, edges }, {
    physics: false,
    layout: { improvedLayout: false },
    nodes: { font: { color: ink, face: getComputedStyle(frame).fontFamily, size: 15 }, borderWidth: 1 },
    edges: { smooth: false, selectionWidth: 3, hoverWidth: 1, arrows: { to: { enabled: false } } },
    interaction: {
      dragNodes: false, zoomView: false, hover: true, tooltipDelay: 60, selectConnectedEdges: false, hoverConnectedEdges: false,
    },
  });

  // The whole picture where it can still be read, else its end, where the answer is; dragging shows the rest.
  const least = 0.52;
  const whole = () => {
    network.fit({ animation: false, maxZoomLevel: 1 });
    if (network.getScale() >= least) return;
    const middle = network.getViewPosition();
    const x = picture.end + 60 - canvas.clientWidth / 2 / least;
    network.moveTo({ scale: least, position: { x, y: middle.y }, animation: false });
  };
  const zoom = (factor) => network.moveTo({ scale: network.getScale() * factor, animation: false });
  const tool = (label, title, act) => {
    const button = element("button", "", label);
    button.type = "button";
    button.title = title;
    button.setAttribute("aria-label", title);
    button.onclick = act;
    tools.append(button);
  };
  tool("−", "Zoom out", () => zoom(1 / 1.25));
  tool("+", "Zoom in", () => zoom(1.25));
  tool("whole", "Show the whole picture", () => network.fit({ animation: false }));
  whole();
  network.on("resize", whole);
  network.on("click", (event) => {
    const node = event.nodes.find((name) => String(name).startsWith("n "));
    const picked = node || (event.nodes.length ? undefined : event.edges[0]);
    if (picked) onPick(picked);
  });
  const mark = (chosen) => network.setSelection(chosen, { highlightEdges: false });
  mark(picture.chosen);
  frame.network = network;
  return { mark, destroy: () => network.destroy() };
}

function nodeColor(color, ink) {
  const lit = { background: ink, border: ink };
  return { background: color, border: color, highlight: lit, hover: lit };
}
