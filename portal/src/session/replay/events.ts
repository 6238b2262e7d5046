/** What was done in a session: commands that the machine was told to run, and what happened to files. */

export type SessionEvent = { atMs: number } & ({ kind: 'command'; text: string } | ({ kind: 'file' } & FileDone))
type FileDone = { op: string; path: string; to?: string; bytes?: number }

function fileOf(text: string): FileDone | undefined {
  let read: unknown
  try {
    read = JSON.parse(text)
  } catch {
    return undefined
  }
  const { op, path, to, bytes } = (read ?? {}) as Record<string, unknown>
  if (typeof op !== 'string' || typeof path !== 'string') return undefined
  return {
    op,
    path,
    ...(typeof to === 'string' && { to }),
    ...(typeof bytes === 'number' && { bytes }),
  }
}

/** What is no event is left out, since the rest can still be shown. */
export function eventsOf(lines: unknown[]): SessionEvent[] {
  return lines.flatMap((line): SessionEvent[] => {
    const [atMs, lane, text] = Array.isArray(line) ? (line as unknown[]) : []
    if (typeof atMs !== 'number' || typeof text !== 'string') return []
    if (lane === 'c') return [{ atMs, kind: 'command', text }]
    const file = lane === 'f' ? fileOf(text) : undefined
    return file ? [{ atMs, kind: 'file', ...file }] : []
  })
}
