/**
 * xterm.js writes `<style>` elements and `style` attributes, which `style-src 'self'` blocks. What it gets instead says
 * the same through the CSSOM, which the policy allows: constructed style sheets, and declarations of `style`.
 *
 * To be imported before anything of xterm.js, in documents that have one.
 */
const create = document.createElement.bind(document)

/** Looks like a `<style>` to whoever sets its text, puts it into its place in the document and removes it. */
function sheetElement() {
  const element = create('template')
  const sheet = new CSSStyleSheet()
  document.adoptedStyleSheets.push(sheet)
  Object.defineProperty(element, 'textContent', {
    get: () => '',
    set(css: string) {
      sheet.replaceSync(css)
    },
  })
  const remove = element.remove.bind(element)
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet)
    remove()
  }
  return element
}

document.createElement = ((tag: string, options?: ElementCreationOptions) =>
  tag.toLowerCase() === 'style' ? sheetElement() : create(tag, options)) as typeof document.createElement

// Cells in colours beyond the 256 are the ones with an attribute.
const setAttribute = HTMLElement.prototype.setAttribute
HTMLElement.prototype.setAttribute = function (name, value) {
  if (name === 'style') this.style.cssText = value
  else Reflect.apply(setAttribute, this, [name, value])
}
