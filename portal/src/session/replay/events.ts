/** What was done in a session: commands that the machine was told to run, and what happened to files and clipboards. */

export type SessionEvent = { atMs: number } & (
  | { kind: 'command'; text: string }
  | ({ kind: 'file' } & FileDone)
  | ({ kind: 'clipboard' } & ClipboardUsed)
)
type ClipboardUsed = { isIntoMachine: boolean; chars: number }
type FileDone = { op: string; path: string; to?: string; bytes?: number }

function parsed(text: string): Record<string, unknown> {
  try {
    return (JSON.parse(text) ?? {}) as Record<string, unknown>
  } catch {
    return {}
  }
}

function clipboardOf(text: string): ClipboardUsed | undefined {
  const { intoMachine, chars } = parsed(text)
  if (typeof intoMachine !== 'boolean' || typeof chars !== 'number') return
  return { isIntoMachine: intoMachine, chars }
}

function fileOf(text: string): FileDone | undefined {
  const { op, path, to, bytes } = parsed(text)
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
    const clipboard = lane === 'b' ? clipboardOf(text) : undefined
    if (clipboard) return [{ atMs, kind: 'clipboard', ...clipboard }]
    const file = lane === 'f' ? fileOf(text) : undefined
    return file ? [{ atMs, kind: 'file', ...file }] : []
  })
}
