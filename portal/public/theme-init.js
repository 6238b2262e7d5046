// A file of its own, because the CSP allows no inline script; it runs before the first paint.
;(function () {
  var theme = null
  var locale = null
  try {
    theme = localStorage.getItem('sekisho.theme')
    locale = localStorage.getItem('sekisho.locale')
  } catch (_) {
    // Storage may be forbidden; the system preference decides then.
  }
  var dark = theme === 'dark' || (theme !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches)
  document.documentElement.dataset.theme = dark ? 'dark' : 'light'
  document.documentElement.lang = locale || ((navigator.language || 'ja').slice(0, 2) === 'ja' ? 'ja' : 'en')
})()
