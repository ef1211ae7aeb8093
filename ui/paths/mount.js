// The picture inside the app: drawn anew only where it differs, so that a choice keeps the view.
const drawn = new WeakMap();

export default function mount(component) {
  const { data, parentElement, setTriggerValue } = component;
  let frame = parentElement.querySelector(".iv-graph");
  if (!frame) {
    frame = document.createElement("div");
    frame.className = "iv-graph";
    parentElement.append(frame);
  }
  const { chosen, ...rest } = data;
  const content = JSON.stringify(rest) + getComputedStyle(frame).color;
  let entry = drawn.get(frame);
  if (!entry || entry.content !== content) {
    entry?.picture.destroy();
    entry = { content };
    entry.picture = drawPicture(frame, data, (name) => entry.pick(name));
    drawn.set(frame, entry);
  }
  entry.pick = (name) => setTriggerValue("picked", name);
  entry.picture.mark(chosen);
  return () => {
    drawn.get(frame)?.picture.destroy();
    drawn.delete(frame);
  };
}
