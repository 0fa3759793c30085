// Read from a folder (file://), a page gets no worker from the browser, and the search would be dead: there an unseen
// frame does what the worker would. Over http nothing changes.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(script) {
      super()
      const from = new URL(script, document.baseURI)
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      const inside = frame.contentWindow
      const load = (place) =>
        new Promise((loaded, failed) => {
          const part = inside.document.createElement("script")
          part.src = new URL(place, from)
          part.onload = loaded
          part.onerror = failed
          inside.document.body.append(part)
        })
      inside.importScripts = (...places) => Promise.all(places.map(load))
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
      const ready = load(from)
      this.postMessage = (data) =>
        ready.then(() => inside.dispatchEvent(new inside.MessageEvent("message", { data })))
      this.terminate = () => frame.remove()
    }
  }
}
