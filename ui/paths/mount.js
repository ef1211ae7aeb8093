// The picture inside the app: drawn anew only where it differs, so that a choice keeps the view.
const drawn = new WeakMap();

// What draws comes with a part of its own (share.js), which may be there later than this.
const drawing = new Promise((resolve) => {
  const look = () => globalThis.ivDrawPicture && resolve(globalThis.ivDrawPicture);
  globalThis.addEventListener("iv-drawing", look);
  look();
});

export default function mount(component) {
  const { data, parentElement, setTriggerValue } = component;
  let frame = parentElement.querySelector(".iv-graph");
  if (!frame) {
    frame = document.createElement("div");
    frame.className = "iv-graph";
    parentElement.append(frame);
  }
  drawing.then((drawPicture) => {
    if (frame.isConnected) show(drawPicture, frame, data, (name) => setTriggerValue("picked", name));
  });
  return () => {
    drawn.get(frame)?.picture.destroy();
    drawn.delete(frame);
  };
}

function show(drawPicture, frame, data, pick) {
  const { chosen, ...rest } = data;
  const content = JSON.stringify(rest) + getComputedStyle(frame).color;
  let entry = drawn.get(frame);
  if (!entry || entry.content !== content) {
    entry?.picture.destroy();
    entry = { content };
    entry.picture = drawPicture(frame, data, (name) => entry.pick(name));
    drawn.set(frame, entry);
  }
  entry.pick = pick;
  entry.picture.mark(chosen);
}
