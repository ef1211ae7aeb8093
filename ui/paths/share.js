// vis-network and drawPicture for every picture of the app.  This never changes, so that a browser is sent it once;
// with a picture's data in the same message it would be sent again with every change.
export default function share() {
  globalThis.ivDrawPicture = drawPicture;
  globalThis.dispatchEvent(new Event("iv-drawing"));
}
