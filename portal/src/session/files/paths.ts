/** Paths on the machine, which are absolute and as the server told them. */

export const join = (folder: string, name: string) => (folder.endsWith('/') ? folder + name : `${folder}/${name}`)

export function parentOf(path: string) {
  const at = path.lastIndexOf('/')
  return at <= 0 ? '/' : path.slice(0, at)
}

/** Each folder on the way to a path, from the root. */
export function crumbs(path: string) {
  const parts = path.split('/').filter(Boolean)
  return [
    { name: '/', path: '/' },
    ...parts.map((name, at) => ({ name, path: `/${parts.slice(0, at + 1).join('/')}` })),
  ]
}

/** Whether a name can be one of a file in a folder. */
export const isName = (name: string) =>
  name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name) && new TextEncoder().encode(name).length <= 255

/** A name that a download may have on the person's own computer; a browser forbids more. */
export const savedName = (name: string) =>
  name.replace(/[\p{Cc}/\\:*?"<>|\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, '_')
